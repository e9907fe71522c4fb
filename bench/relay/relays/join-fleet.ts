import { FleetServiceDefinition, JoinRequest } from "@polygraft/api";
import { createChannel, createClient } from "nice-grpc";

const heartbeatMillis = 500;

/** Has a router believe that a worker serves at `worker`. Resolves when it is in; the result takes it out again. */
export async function joinFleet(router: string, worker: string): Promise<() => void> {
  const channel = createChannel(router);
  const leaving = new AbortController();
  const responses = createClient(FleetServiceDefinition, channel).join(messages(worker, leaving.signal), { signal: leaving.signal });
  const welcome = await responses[Symbol.asyncIterator]().next();
  if (welcome.done === true) throw new Error("the router did not welcome the worker");
  return () => {
    leaving.abort();
    channel.close();
  };
}

async function* messages(address: string, signal: AbortSignal): AsyncGenerator<Partial<JoinRequest>, void> {
  const model = { name: "bench", digest: "", contextLength: 4096, vocabularySize: 32_000, weights: "w4-g32", device: "cpu" };
  const hello = { name: "worker-1", epoch: "1", address, zone: "", model, version: "0" };
  yield JoinRequest.fromPartial({ sequence: 1n, message: { $case: "hello", value: hello } });
  yield JoinRequest.fromPartial({ sequence: 2n, message: { $case: "residency", value: { snapshot: true, complete: true } } });
  for (let number = 1n; !signal.aborted; number++) {
    yield JoinRequest.fromPartial({ sequence: number + 2n, message: { $case: "load", value: { number } } });
    await new Promise((resolve) => setTimeout(resolve, heartbeatMillis).unref());
  }
}
