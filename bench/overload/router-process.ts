import { join } from "node:path";
import { Program } from "../relay/relays/program.js";
import { repository } from "../repository.js";

/** A router as the command starts it. */
export async function startRouterProcess(): Promise<{ readonly address: string; stop(): Promise<void> }> {
  const program = new Program("polygraft router", [process.execPath, join(repository, "src/cli/dist/main.js"), "router", "--listen", "127.0.0.1:0"]);
  const [, address = ""] = await program.says(/listening on (\S+)/);
  return { address, stop: () => program.stop() };
}
