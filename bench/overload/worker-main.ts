import { joinFleet } from "../relay/relays/join-fleet.js";
import { ModelWorker } from "./model-worker.js";
import type { WorkerProcessOptions } from "./worker-process.js";

// A model worker as a program: its options are the one argument, as JSON. It says where it listens once it has joined.
const { router, name, tellsLoad, ...options } = JSON.parse(process.argv[2] ?? "{}") as WorkerProcessOptions;
const worker = new ModelWorker(options);
const address = await worker.listen();
if (router !== undefined) {
  const capacity = { maxSequences: options.sequences, maxQueue: options.queue };
  const member = { name, address, capacity };
  await joinFleet(router, tellsLoad ? { ...member, load: () => worker.load } : member);
}
process.stdout.write(`serving on ${address}\n`);
