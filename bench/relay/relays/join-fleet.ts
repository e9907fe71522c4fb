import { FleetServiceDefinition, JoinRequest } from "@polygraft/api";
import type { JoinResponse, LoadSample } from "@polygraft/api";
import { createChannel, createClient } from "nice-grpc";

/** Of a worker that has nothing to tell, and of one that has: as often as workers do. */
const heartbeatMillis = 500;
const loadMillis = 100;

/** A worker as a router is told of it. */
export interface JoinedWorker {
  readonly name: string;
  readonly address: string;
  /** Default: it does not say. */
  readonly capacity?: { readonly maxSequences: number; readonly maxQueue: number };
  /** How busy it is now. Default: it does not say. */
  readonly load?: () => Partial<LoadSample>;
}

/** Has a router, or all of its processes, believe in a worker. Resolves when it is in; the result takes it out again. */
export async function joinFleet(router: string, worker: JoinedWorker): Promise<() => void> {
  const channel = createChannel(router);
  const leaving = new AbortController();
  const responses = createClient(FleetServiceDefinition, channel).join(messages(worker, leaving.signal), { signal: leaving.signal });
  const { value: first } = (await responses[Symbol.asyncIterator]().next()) as { readonly value?: JoinResponse };
  const leave = (): void => {
    leaving.abort();
    channel.close();
  };
  if (first?.message?.$case === "welcome") return leave;
  leave();
  if (first?.message?.$case !== "processes") throw new Error("the router did not welcome the worker");
  const host = router.slice(0, router.lastIndexOf(":"));
  const all = await Promise.all(first.message.value.ports.map(async (port) => joinFleet(`${host}:${port}`, worker)));
  return () => all.forEach((each) => each());
}

async function* messages({ capacity, load, ...worker }: JoinedWorker, signal: AbortSignal): AsyncGenerator<Partial<JoinRequest>, void> {
  const model = { name: "bench", digest: "", contextLength: 4096, vocabularySize: 32_000, weights: "w4-g32", device: "cpu" };
  const hello = { ...worker, epoch: "1", zone: "", model, version: "0", ...(capacity === undefined ? {} : { capacity }) };
  yield JoinRequest.fromPartial({ sequence: 1n, message: { $case: "hello", value: hello } });
  yield JoinRequest.fromPartial({ sequence: 2n, message: { $case: "residency", value: { snapshot: true, complete: true } } });
  for (let number = 1n; !signal.aborted; number++) {
    yield JoinRequest.fromPartial({ sequence: number + 2n, message: { $case: "load", value: { number, ...load?.() } } });
    const wait = load === undefined ? heartbeatMillis : loadMillis;
    await new Promise((resolve) => setTimeout(resolve, wait).unref());
  }
}
