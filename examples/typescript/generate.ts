import { Polygraft, PolygraftError } from "@polygraft/client";

await using client = new Polygraft({ address: process.env["POLYGRAFT_ADDRESS"] ?? "127.0.0.1:50051" });
const [prompt = "Once upon a time", adapter] = process.argv.slice(2);
try {
  const generation = client.generate({ prompt, maxTokens: 64, ...(adapter ? { adapter } : {}) });
  for await (const event of generation) {
    if (event.type === "accepted") console.error(`worker ${event.worker}, adapter was on ${event.tier ?? "-"}`);
    if (event.type === "delta") process.stdout.write(event.text);
    if (event.type === "finished") console.error(`\n${event.usage.outputTokens} tokens, ${event.reason}`);
  }
} catch (error) {
  if (error instanceof PolygraftError) console.error(`${error.code}: ${error.message}`);
  process.exitCode = 1;
}
