// A router in a process of its own, as the command runs it. argv[2] is its options as JSON; SIGTERM drains it.
import { runRouter } from "@polygraft/router";

const stop = new AbortController();
process.once("SIGTERM", () => stop.abort());
process.once("disconnect", () => process.exit());
await runRouter(JSON.parse(process.argv[2]), stop.signal);
process.disconnect();
