// A worker in a process of its own, to be killed: argv is the router's address and the worker's name. It joins,
// serves `Generate`, and plays what its parent says over IPC: {say: text} sends a delta on every running stream,
// {end: true} finishes them. It tells its parent "called" for each call.
import { FleetServiceDefinition, InferenceServiceDefinition } from "@polygraft/api";
import { createChannel, createClient, createServer } from "nice-grpc";

const [router, name] = process.argv.slice(2);
const waiting = new Set();
const told = [];

process.on("message", (message) => {
  told.push(message);
  for (const wake of waiting) wake();
  waiting.clear();
});
process.on("disconnect", () => process.exit());

const server = createServer();
server.add(InferenceServiceDefinition, {
  async *generate(request) {
    process.send("called");
    yield { event: { $case: "accepted", value: { requestId: request.requestId, worker: name } } };
    for (let next = 0; ; ) {
      if (next === told.length) await new Promise((resolve) => waiting.add(resolve));
      else if (told[next].end) break;
      else yield { event: { $case: "delta", value: { text: told[next++].say } } };
    }
    yield { event: { $case: "finished", value: {} } };
  },
});
const port = await server.listen("127.0.0.1:0");

async function* join() {
  const hello = { name, epoch: String(process.pid), address: `127.0.0.1:${port}`, model: { name: "tiny" } };
  yield { sequence: 1n, message: { $case: "hello", value: hello } };
  yield { sequence: 2n, message: { $case: "residency", value: { snapshot: true, complete: true } } };
  await new Promise(() => {});
}
for await (const _ of createClient(FleetServiceDefinition, createChannel(router)).join(join()));
