import { place, placementKey, preferenceList } from "@polygraft/placement";
import type { Dispatched, Placement, PlacementFleet, PlacementRequest, RetryBudget } from "@polygraft/placement";
import { Status } from "nice-grpc";
import { isFailure } from "../failure.js";
import type { Failure } from "../failure.js";
import type { FleetMember, MemberFleet } from "../fleet/member.js";
import type { Continuation, Route, Target } from "../relay/relay.js";
import { noWorker } from "./candidates.js";
import type { Breakers, Verdict } from "./breakers.js";
import type { Candidates } from "./candidates.js";
import { DeliveredOutput } from "./delivered-output.js";
import { remainderOf } from "./remainder.js";
import type { RequestHead } from "./request-head.js";
import { triedHeaders, weightsHeader } from "./tried-before.js";
import type { TriedBefore } from "./tried-before.js";

/** Most workers that are tried for one request, one after another without output from any; its client's tries count. */
export const maxAttempts = 3;

/** Most names in `polygraft-candidates`. */
const maxCandidatesShown = 8;

/** Reasons with which a worker says that it is the wrong one, not that the request is. */
const movableReasons: Readonly<Record<number, ReadonlySet<string | undefined>>> = {
  [Status.UNAVAILABLE]: new Set([undefined, "DRAINING", "NO_WORKER", "WORKER_LOST"]),
  [Status.RESOURCE_EXHAUSTED]: new Set(["QUEUE_FULL", "ADAPTER_MEMORY_FULL"]),
};

/** Statuses that a worker which works does not answer with, unless it gives a reason. */
const worrying = new Set<number>([Status.UNAVAILABLE, Status.INTERNAL, Status.UNKNOWN]);

/** Statuses that tell nothing about a worker's health. */
const untelling = new Set<number>([Status.RESOURCE_EXHAUSTED, Status.UNAVAILABLE, Status.CANCELLED, Status.DEADLINE_EXCEEDED]);

function verdictOf(status: number, reason: string | undefined): Verdict {
  if (worrying.has(status) && (reason === undefined || reason === "INTERNAL")) return "bad";
  return untelling.has(status) ? "none" : "good";
}

/**
 * Sends one request from worker to worker, along the preference list of its key, until one answers; and on to the next
 * when that one is lost in mid-stream.
 */
export class GenerateRoute implements Route {
  readonly appended: Uint8Array;
  readonly continuation?: Continuation;
  readonly #head: RequestHead;
  readonly #candidates: Candidates;
  readonly #breakers: Breakers;
  readonly #retries: RetryBudget;
  readonly #before: TriedBefore;
  /** Processes that were tried: a worker that has started anew since then may be tried again. */
  readonly #tried: FleetMember[] = [];
  readonly #headers: Readonly<Record<string, string>>;
  readonly #delivered: DeliveredOutput | undefined;
  readonly #key: string | undefined;
  #dispatched: { readonly member: FleetMember; readonly share: Dispatched } | undefined;
  #reason = "";
  /** Workers tried since the last output, and how much of it there was. */
  #attempts = 0;
  #countBefore = 0;
  /** Digest of the weights that the output so far came from. Undefined: there is none. */
  #weights: string | undefined;
  /** Times that another worker went on with the stream. */
  #moves = 0;
  #conclude: ((verdict: Verdict) => void) | undefined;

  constructor(
    head: RequestHead,
    candidates: Candidates,
    breakers: Breakers,
    retries: RetryBudget,
    before: TriedBefore,
    sent: { readonly appended: Uint8Array; readonly headers: Readonly<Record<string, string>> },
  ) {
    this.#head = head;
    this.#candidates = candidates;
    this.#breakers = breakers;
    this.#retries = retries;
    this.#before = before;
    this.#weights = before.weights;
    this.#key = placementKey(head.routing.key, head.adapter);
    this.appended = sent.appended;
    this.#headers = sent.headers;
    const { routing, showsTokens } = head;
    if (routing.failover === false || routing.worker !== "" || !showsTokens) return;
    const delivered = new DeliveredOutput();
    this.#delivered = delivered;
    this.continuation = {
      delivered: (messages) => delivered.push(messages),
      remainder(message) {
        const got = delivered.get();
        return got === undefined ? undefined : remainderOf(message, got);
      },
    };
  }

  /** With the weights that a worker must have, whichever process is at its address by now. */
  get headers(): Readonly<Record<string, string>> {
    return this.#weights ? { ...this.#headers, [weightsHeader]: this.#weights } : this.#headers;
  }

  /** Names of the workers tried, in order. */
  get tried(): readonly string[] {
    return this.#tried.map(({ name }) => name);
  }

  /** The base model that is asked for. Undefined: no worker could serve the request. */
  get model(): string | undefined {
    const { routing, model, adapter } = this.#head;
    if (routing.worker !== "") return this.#candidates.member(routing.worker)?.hello.model?.name;
    const name = this.#candidates.model(model, adapter);
    return typeof name === "string" ? name : undefined;
  }

  get failureTrailers(): Readonly<Record<string, string>> {
    return triedHeaders(this.#attempts, this.tried);
  }

  /** Times that another worker went on in mid-stream. */
  get moves(): number {
    return this.#moves;
  }

  next(): Target | Failure {
    this.release();
    const count = this.#delivered?.count ?? 0;
    if (count > this.#countBefore) {
      this.#attempts = 0;
      this.#weights = weightsOf(this.#tried.at(-1));
    }
    this.#countBefore = count;
    const member = this.#choose();
    if (isFailure(member)) return member;
    this.#attempts += 1;
    if (count > 0) this.#moves += 1;
    this.#tried.push(member);
    this.#conclude = this.#breakers.begin(member.name);
    this.#dispatched = { member, share: member.tally.dispatch(this.#head.tokens - count) };
    return { name: member.name, address: member.address };
  }

  concluded(answer: { readonly status: number; readonly reason: string | undefined } | undefined): void {
    this.#conclude?.(answer === undefined ? "bad" : verdictOf(answer.status, answer.reason));
  }

  movesOn(status: number, reason: string | undefined): boolean {
    return movableReasons[status]?.has(reason) ?? false;
  }

  responseHeaders(target: Target): Readonly<Record<string, string>> {
    const weights = weightsOf(this.#tried.findLast(({ name }) => name === target.name));
    const headers = { "polygraft-worker": target.name, ...(weights === "" ? {} : { [weightsHeader]: weights }) };
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
    // Whoever has not heard how it went by now will not: the client has left.
    this.#conclude?.("none");
    if (this.#dispatched === undefined) return;
    this.#dispatched.member.tally.release(this.#dispatched.share);
    this.#dispatched = undefined;
  }

  #choose(): FleetMember | Failure {
    const { routing, model, adapter } = this.#head;
    const before = this.#countBefore > 0 ? 0 : this.#before.attempts;
    const limit = routing.failover === false || routing.worker !== "" ? 1 : Math.max(1, maxAttempts - before);
    if (this.#attempts >= limit) return this.#exhausted();
    // Whoever has brought its stream forward since is no repetition.
    if (this.#attempts > 0 && !this.#retries.withdraw()) return this.#exhausted("too many requests fail to try another one");
    if (routing.worker !== "") {
      this.#reason = "pinned";
      const pinned = this.#candidates.member(routing.worker);
      if (pinned === undefined) return noWorker(`worker "${routing.worker}" is not in the fleet`);
      return this.#mayServe(pinned) ? pinned : this.#exhausted();
    }
    const found = this.#candidates.find(model, adapter);
    if (isFailure(found)) return this.#tried.length > 0 ? this.#exhausted() : found;
    const { fleet, resident, rankUnits } = found;
    // The load that replicas are counted by is the adapter's, not that of one routing key.
    const replicas = routing.key === "" ? found.replicas : 1;
    const request: PlacementRequest = {
      tieBreaker: this.#head.requestId,
      replicas,
      resident,
      rankUnits,
      excluded: this.#excluded(fleet),
      ...(this.#key === undefined ? {} : { key: this.#key }),
    };
    const placement = this.#place(fleet, request);
    const member = placement === undefined ? undefined : this.#candidates.member(placement.worker);
    if (placement === undefined || member === undefined) return this.#exhausted();
    this.#reason = placement.reason;
    return member;
  }

  /** Processes that have been tried; and once there is output, workers whose weights would go on differently. */
  #excluded({ workers }: MemberFleet): ReadonlySet<string> {
    const excluded = new Set<string>();
    for (const { name, hello } of this.#tried) {
      if (this.#candidates.member(name)?.hello.epoch === hello.epoch) excluded.add(name);
    }
    if (this.#weights === undefined) return excluded;
    for (const worker of workers) if (!this.#mayServe(worker)) excluded.add(worker.name);
    return excluded;
  }

  /** Whether its output would be what the output so far goes on to. */
  #mayServe(worker: FleetMember): boolean {
    return this.#weights === undefined || weightsOf(worker) === this.#weights;
  }

  /** Around the workers that are left alone, unless there are no others. */
  #place(fleet: PlacementFleet, request: PlacementRequest): Placement | undefined {
    const closed = this.#breakers.closedTo();
    const avoided = this.#before.workers.size === 0 ? closed : new Set([...closed, ...this.#before.workers]);
    const { policy } = this.#candidates;
    const around = avoided.size === 0 ? undefined : place(fleet, { ...request, excluded: new Set([...(request.excluded ?? []), ...avoided]) }, policy);
    return around ?? place(fleet, request, policy);
  }

  #exhausted(why?: string): Failure {
    const tried = this.tried.join(", ");
    const weights = this.#weights;
    const what =
      weights === undefined
        ? "no worker could be reached"
        : `no worker is left to try that serves the weights ${weights}, from which the output so far came; others would go on differently`;
    const message = [what, tried && `tried: ${tried}`, why].filter(Boolean).join("; ");
    return noWorker(message, { ...(tried && { tried }), ...(weights !== undefined && { weights }) });
  }

  #explain(): string {
    const found = this.#candidates.find(this.#head.model, this.#head.adapter);
    if (isFailure(found)) return "";
    return preferenceList(found.fleet, this.#key ?? this.#head.requestId, maxCandidatesShown).join(",");
  }
}

/** Digest of the weights that a worker serves. "": it does not say. */
function weightsOf(worker: FleetMember | undefined): string {
  return worker?.hello.model?.digest ?? "";
}
