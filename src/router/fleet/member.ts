import { WorkerState } from "@polygraft/api";
import type { JoinResponse, LoadSample, WorkerHello } from "@polygraft/api";
import { hash64, LoadTally } from "@polygraft/placement";
import type { AdapterRoom, Hash64, LiveFleet, LiveWorker } from "@polygraft/placement";
import type { Failure } from "../failure.js";
import { Holdings } from "./holdings.js";
import { StepProgress } from "./step-progress.js";
import { emptyTotal, ShareOfTotal } from "./model-total.js";
import type { ModelTotal } from "./model-total.js";

/** Members that serve one base model, ready for placement. */
export type MemberFleet = LiveFleet<FleetMember>;

/**
 * A worker that has joined. What placement reads of it is live: load changes with every sample and every request, and
 * copying it into a snapshot each time would cost more than the decision.
 */
export class FleetMember implements LiveWorker {
  readonly hello: WorkerHello;
  readonly nameHash: Hash64;
  readonly holdings = new Holdings();
  readonly tally = new LoadTally<LoadSample>(() => this.#count());
  readonly progress = new StepProgress();
  /** Ends the worker's stream with a failure. */
  readonly expel: (failure: Failure) => void;
  /** Says something to the worker; nothing happens when too much waits already. */
  tell: (message: JoinResponse) => void = () => {};
  /** When it was last heard of, on the router's clock. */
  heardAt: number;
  /** It is heard of, but its engine has hung with requests in flight. Suspected until the engine gets on. */
  wedged = false;
  /** It loads its first adapters. */
  warming: boolean;
  /** It will drain once its adapters are loaded elsewhere. */
  leaving = false;
  /** What all listed workers of its model have together. */
  readonly total: ModelTotal;
  readonly #share: ShareOfTotal;
  #state: WorkerState;
  #listed = false;

  constructor(hello: WorkerHello, expel: (failure: Failure) => void, now: number, total: ModelTotal = emptyTotal()) {
    this.hello = hello;
    this.nameHash = hash64(hello.name);
    this.warming = hello.warming === true;
    this.#state = this.awake;
    this.total = total;
    this.#share = new ShareOfTotal(total, hello.capacity?.maxSequences ?? 0);
    this.expel = expel;
    this.heardAt = now;
  }

  get name(): string {
    return this.hello.name;
  }

  /** Where to call it: "host:port", or "https://host:port" if it speaks TLS. */
  get address(): string {
    return this.hello.tls ? `https://${this.hello.address}` : this.hello.address;
  }

  get state(): WorkerState {
    return this.#state;
  }

  set state(state: WorkerState) {
    this.#state = state;
    this.#count();
  }

  /** Its state while it is heard of and does not drain. */
  get awake(): WorkerState {
    return this.warming ? WorkerState.WARMING : WorkerState.READY;
  }

  /** Whether requests may come to it. The fleet's. */
  set listed(listed: boolean) {
    this.#listed = listed;
    this.#count();
  }

  get weight(): number {
    return this.hello.weight ?? 1;
  }

  get zone(): string {
    return this.hello.zone;
  }

  /** Warming, draining and suspected workers alike get requests only if there is nobody else. */
  get draining(): boolean {
    return this.state !== WorkerState.READY;
  }

  get inFlightTokens(): number {
    return this.tally.inFlightTokens;
  }

  /** Has as many requests as it runs at once, whoever sent them. A worker that does not say how many never counts as full. */
  get full(): boolean {
    return this.tally.isFull(this.hello.capacity?.maxSequences ?? 0);
  }

  get adapterRoom(): AdapterRoom {
    const { adapterBytes = 0n, adapterRankUnits = 0 } = this.hello.capacity ?? {};
    return { bytes: Number(adapterBytes), rankUnits: adapterRankUnits };
  }

  /** A worker that does not say counts as having enough. */
  get freeRankUnits(): number {
    return this.tally.freeRankUnits;
  }

  #count(): void {
    this.#share.set(this.#listed, this.draining ? 0 : this.inFlightTokens);
  }
}
