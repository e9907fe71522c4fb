import { WorkerHello } from "@polygraft/api";
import type { FleetWorker, FollowRequest, FollowResponse } from "@polygraft/api";
import { resolvePolicy } from "@polygraft/placement";
import type { PlacementPolicy } from "@polygraft/placement";
import type { TokenHolder, TokenIssuer } from "../access/token-issuer.js";
import type { Crowding } from "../admission/crowding.js";
import type { Catalog } from "../catalog/catalog.js";
import { serverError } from "../failure.js";
import type { Fleet } from "../fleet/fleet.js";
import { watchFleet } from "../fleet/watch.js";
import type { Timers } from "../timers.js";
import { until } from "../until.js";
import { Interest } from "./interest.js";
import { merge } from "./merge.js";

/** What clients in direct mode are told of. */
export interface FollowParts {
  readonly fleet: Fleet;
  readonly catalog: Catalog;
  readonly policy: PlacementPolicy;
  readonly tokens: TokenIssuer;
  readonly crowding: Crowding;
  readonly timers: Timers;
}

/** Most adapters in one message. With a thousand workers that hold each, 64 stay below the limits of gRPC libraries. */
const adaptersPerMessage = 64;

/** Serves one client in direct mode: what it needs to place its requests, and to be let in by workers. */
export async function* serveFollow(
  requests: AsyncIterable<FollowRequest>,
  caller: TokenHolder,
  parts: FollowParts,
  signal: AbortSignal,
): AsyncGenerator<FollowResponse> {
  const { fleet, catalog, timers } = parts;
  const ended = new AbortController();
  const either = AbortSignal.any([signal, ended.signal]);
  const interest = new Interest(catalog);
  const stop = fleet.listen(interest);
  let failure: unknown;
  read(requests, interest).catch((error: unknown) => {
    failure = error;
    ended.abort();
  });
  try {
    yield { message: { $case: "rules", value: resolvePolicy(parts.policy) } };
    yield* merge(
      tokens(caller, parts, either),
      changes(watchFleet({ residency: false }, either, fleet, timers)),
      sightings(interest, either),
      crowds(parts.crowding, either),
    );
    if (failure !== undefined) throw failure;
  } finally {
    stop();
    ended.abort();
  }
}

/** Applies what the client says. It may end its side and go on listening. */
async function read(requests: AsyncIterable<FollowRequest>, interest: Interest): Promise<void> {
  for await (const request of requests) {
    const failure = interest.apply(request);
    if (failure !== undefined) throw serverError(failure);
  }
}

/** A token now, and another one each time that half of its life is over. */
async function* tokens(caller: TokenHolder, { tokens, timers }: FollowParts, signal: AbortSignal): AsyncGenerator<FollowResponse> {
  while (!signal.aborted) {
    const value = await tokens.issue(caller);
    yield { message: { $case: "token", value } };
    await until(signal, (done) => timers.after(value.validMillis / 2, done));
  }
}

async function* changes(fleet: ReturnType<typeof watchFleet>): AsyncGenerator<FollowResponse> {
  const told = new Map<string, Told>();
  for await (const { workers, removedWorkers, ...change } of fleet) {
    for (const name of removedWorkers) told.delete(name);
    yield { message: { $case: "fleet", value: { ...change, removedWorkers, workers: workers.map((worker) => briefly(worker, told)) } } };
  }
}

/** A greeting that a client knows, and what stands for it from then on. */
interface Told {
  readonly hello: WorkerHello;
  readonly brief: WorkerHello;
}

/** Most news of a worker is its load, which is much shorter than its greeting. */
function briefly(worker: FleetWorker, told: Map<string, Told>): FleetWorker {
  const { hello } = worker;
  if (hello === undefined) return worker;
  const { name, epoch } = hello;
  const known = told.get(name);
  if (known?.hello === hello) return { ...worker, hello: known.brief };
  told.set(name, { hello, brief: WorkerHello.create({ name, epoch }) });
  return worker;
}

/** Whether the router is crowded, each time that this is another answer. */
async function* crowds(crowding: Crowding, signal: AbortSignal): AsyncGenerator<FollowResponse> {
  for (let told = false; !signal.aborted; ) {
    if (crowding.crowded === told) {
      await until(signal, (done) => crowding.listen(done));
      continue;
    }
    told = crowding.crowded;
    yield { message: { $case: "crowding", value: { crowded: told } } };
  }
}

async function* sightings(interest: Interest, signal: AbortSignal): AsyncGenerator<FollowResponse> {
  while (!signal.aborted) {
    const adapters = await interest.take(adaptersPerMessage, signal);
    if (adapters.length > 0) yield { message: { $case: "sightings", value: { adapters } } };
  }
}
