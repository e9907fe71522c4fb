import { LoadSample, WorkerHello, WorkerState } from "@polygraft/api";
import type { FleetWorker } from "@polygraft/api";
import { hash64, LoadTally } from "@polygraft/placement";
import type { AdapterRoom, Hash64, LiveWorker } from "@polygraft/placement";

/** A worker as a router told of it, with what this client has sent there since. What placement reads of it is live. */
export class DirectWorker implements LiveWorker {
  readonly name: string;
  readonly nameHash: Hash64;
  readonly tally = new LoadTally<LoadSample>();
  /** Ends the calls of this client that run there. */
  readonly running = new Set<AbortController>();
  #hello: WorkerHello;
  #state: WorkerState;
  #leaving: boolean;
  #failures = 0;

  constructor({ hello = WorkerHello.create(), state, leaving }: FleetWorker) {
    this.name = hello.name;
    this.nameHash = hash64(hello.name);
    this.#hello = hello;
    this.#state = state;
    this.#leaving = leaving;
  }

  get hello(): WorkerHello {
    return this.#hello;
  }

  /** Where to call it: "host:port", or "https://host:port" if it speaks TLS. */
  get address(): string {
    return this.#hello.tls ? `https://${this.#hello.address}` : this.#hello.address;
  }

  /** Digest of the weights that it serves. "": it does not say. */
  get weights(): string {
    return this.#hello.model?.digest ?? "";
  }

  get weight(): number {
    return this.#hello.weight ?? 1;
  }

  get zone(): string {
    return this.#hello.zone;
  }

  get suspected(): boolean {
    return this.#state === WorkerState.SUSPECTED;
  }

  /** Warming, draining and suspected workers alike get requests only if there is nobody else. */
  get draining(): boolean {
    return this.#state !== WorkerState.READY;
  }

  /** It will drain. */
  get leaving(): boolean {
    return this.#leaving;
  }

  get inFlightTokens(): number {
    return this.tally.inFlightTokens;
  }

  get full(): boolean {
    return this.tally.isFull(this.#hello.capacity?.maxSequences ?? 0);
  }

  get freeRankUnits(): number {
    return this.tally.freeRankUnits;
  }

  get adapterRoom(): AdapterRoom {
    const { adapterBytes = 0n, adapterRankUnits = 0 } = this.#hello.capacity ?? {};
    return { bytes: Number(adapterBytes), rankUnits: adapterRankUnits };
  }

  /** A call failed as calls should not. Returns how many have in a row. */
  failed(): number {
    return (this.#failures += 1);
  }

  succeeded(): void {
    this.#failures = 0;
  }

  /**
   * Takes what a router says of the same process now. Without an address it says nothing new of who it is. True: what was
   * prepared from it is out of date.
   */
  update({ hello: said, state, leaving, load = LoadSample.create() }: FleetWorker): boolean {
    const hello = said === undefined || said.address === "" ? this.#hello : said;
    const changed = state !== this.#state || hello !== this.#hello;
    this.#hello = hello;
    this.#state = state;
    this.#leaving = leaving;
    // Told again because of something else, a sample knows nothing of what was sent since.
    if (load.number !== this.tally.sample?.number) this.tally.take(load);
    return changed;
  }
}
