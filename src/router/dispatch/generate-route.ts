import { place, preferenceList } from "@polygraft/placement";
import type { PlacementRequest } from "@polygraft/placement";
import { Status } from "nice-grpc";
import { isFailure } from "../failure.js";
import type { Failure } from "../failure.js";
import type { Dispatched } from "../fleet/load-tally.js";
import type { FleetMember } from "../fleet/member.js";
import type { Route, Target } from "../relay/relay.js";
import { noWorker } from "./candidates.js";
import type { Candidates } from "./candidates.js";
import type { RequestHead } from "./request-head.js";

/** Most workers that are tried for one request. */
export const maxAttempts = 3;

/** Most names in `polygraft-candidates`. */
const maxCandidatesShown = 8;

/** Reasons with which a worker says that it is the wrong one, not that the request is. */
const movableReasons: Readonly<Record<number, ReadonlySet<string | undefined>>> = {
  [Status.UNAVAILABLE]: new Set([undefined, "DRAINING", "NO_WORKER", "WORKER_LOST"]),
  [Status.RESOURCE_EXHAUSTED]: new Set(["QUEUE_FULL", "ADAPTER_MEMORY_FULL"]),
};

/** What placement hashes for a request: its routing key, else its adapter. Undefined: any worker is as good. */
export function placementKey(head: RequestHead): string | undefined {
  if (head.routing.key !== "") return head.routing.key;
  if (head.adapter === undefined) return undefined;
  return adapterKey(head.adapter);
}

/** What placement hashes for an adapter. */
export function adapterKey(adapter: { readonly id: string; readonly revision: string }): string {
  return adapter.revision === "" ? adapter.id : `${adapter.id}@${adapter.revision}`;
}

/** Sends one request from worker to worker, along the preference list of its key, until one answers. */
export class GenerateRoute implements Route {
  readonly appended: Uint8Array;
  readonly headers: Readonly<Record<string, string>>;
  readonly #head: RequestHead;
  readonly #candidates: Candidates;
  readonly #tried = new Set<string>();
  readonly #key: string | undefined;
  #dispatched: { readonly member: FleetMember; readonly share: Dispatched } | undefined;
  #reason = "";

  constructor(
    head: RequestHead,
    candidates: Candidates,
    sent: { readonly appended: Uint8Array; readonly headers: Readonly<Record<string, string>> },
  ) {
    this.#head = head;
    this.#candidates = candidates;
    this.#key = placementKey(head);
    this.appended = sent.appended;
    this.headers = sent.headers;
  }

  /** Names of the workers tried, in order. */
  get tried(): readonly string[] {
    return [...this.#tried];
  }

  next(): Target | Failure {
    this.release();
    const member = this.#choose();
    if (isFailure(member)) return member;
    this.#tried.add(member.name);
    this.#dispatched = { member, share: member.tally.dispatch(this.#head.tokens) };
    return { name: member.name, address: member.hello.address };
  }

  movesOn(status: number, reason: string | undefined): boolean {
    return movableReasons[status]?.has(reason) ?? false;
  }

  responseHeaders(target: Target): Readonly<Record<string, string>> {
    const headers = { "polygraft-worker": target.name };
    if (this.#head.routing.explain !== true) return headers;
    return { ...headers, "polygraft-placement": this.#reason, "polygraft-candidates": this.#explain() };
  }

  lost(target: Target, cause: string): Failure {
    return {
      status: Status.UNAVAILABLE,
      reason: "WORKER_LOST",
      message: `worker "${target.name}" was lost in mid-stream: ${cause}`,
      metadata: { worker: target.name },
    };
  }

  /** The request no longer counts to the load of a worker. */
  release(): void {
    if (this.#dispatched === undefined) return;
    this.#dispatched.member.tally.release(this.#dispatched.share);
    this.#dispatched = undefined;
  }

  #choose(): FleetMember | Failure {
    const { routing, model, adapter } = this.#head;
    const limit = routing.failover === false || routing.worker !== "" ? 1 : maxAttempts;
    if (this.#tried.size >= limit) return this.#exhausted();
    if (routing.worker !== "") {
      this.#reason = "pinned";
      return this.#candidates.member(routing.worker) ?? noWorker(`worker "${routing.worker}" is not in the fleet`);
    }
    const found = this.#candidates.find(model, adapter);
    if (isFailure(found)) return this.#tried.size > 0 ? this.#exhausted() : found;
    const { fleet, resident, rankUnits } = found;
    // The load that replicas are counted by is the adapter's, not that of one routing key.
    const replicas = routing.key === "" ? found.replicas : 1;
    const request: PlacementRequest = {
      tieBreaker: this.#head.requestId,
      replicas,
      resident,
      rankUnits,
      excluded: this.#tried,
      ...(this.#key === undefined ? {} : { key: this.#key }),
    };
    const placement = place(fleet, request, this.#candidates.policy);
    const member = placement === undefined ? undefined : this.#candidates.member(placement.worker);
    if (placement === undefined || member === undefined) return this.#exhausted();
    this.#reason = placement.reason;
    return member;
  }

  #exhausted(): Failure {
    const tried = this.tried.join(", ");
    return noWorker(`no worker could be reached; tried: ${tried}`, { tried });
  }

  #explain(): string {
    const found = this.#candidates.find(this.#head.model, this.#head.adapter);
    if (isFailure(found)) return "";
    return preferenceList(found.fleet, this.#key ?? this.#head.requestId, maxCandidatesShown).join(",");
  }
}
