import type { AdapterSighting, FollowRequest } from "@polygraft/api";
import type { Catalog } from "../catalog/catalog.js";
import { invalidField } from "../failure.js";
import type { Failure } from "../failure.js";
import type { FleetListener } from "../fleet/fleet.js";
import type { HoldingsChange } from "../fleet/holdings.js";
import type { FleetMember } from "../fleet/member.js";
import { until } from "../until.js";

/** Most adapters that one client may be told of, and most bytes of an id: the contract's bounds. */
const maxAdapters = 4096;
const maxIdBytes = 512;

/** The adapters that one client wants to be told of, and of which it has not been told yet. */
export class Interest implements FleetListener {
  readonly #catalog: Catalog;
  readonly #ids = new Set<string>();
  readonly #dirty = new Set<string>();
  #wake: (() => void) | undefined;

  /** Must listen to the fleet after `catalog`. */
  constructor(catalog: Catalog) {
    this.#catalog = catalog;
  }

  /** Applies what a client says. Returns what is wrong with it, if anything. */
  apply({ adapterIds, forgottenIds }: FollowRequest): Failure | undefined {
    for (const id of forgottenIds) {
      this.#ids.delete(id);
      this.#dirty.delete(id);
    }
    for (const id of adapterIds) {
      if (id === "" || Buffer.byteLength(id) > maxIdBytes) return invalidField("adapter_ids", `must each have 1 to ${maxIdBytes} bytes`);
      this.#ids.add(id);
      this.#dirty.add(id);
    }
    if (this.#ids.size > maxAdapters) return invalidField("adapter_ids", `must be at most ${maxAdapters} at once; forget some`);
    if (this.#dirty.size > 0) this.#wake?.();
    return undefined;
  }

  announced(_: FleetMember, { announced, withdrawn }: HoldingsChange): void {
    for (const { identity } of announced) this.#note(identity?.id);
    for (const { identity } of withdrawn) this.#note(identity?.id);
  }

  left(member: FleetMember): void {
    for (const { identity } of member.holdings.adapters()) this.#note(identity?.id);
  }

  /** Up to `most` adapters that there is something to tell of, as they are now. Waits until there are some. */
  async take(most: number, signal: AbortSignal): Promise<AdapterSighting[]> {
    if (this.#dirty.size === 0) {
      await until(signal, (done) => {
        this.#wake = done;
        return () => (this.#wake = undefined);
      });
    }
    const due = [...this.#dirty].slice(0, most);
    for (const id of due) this.#dirty.delete(id);
    return due.map((id) => this.#see(id));
  }

  #note(id: string | undefined): void {
    if (id === undefined || !this.#ids.has(id)) return;
    this.#dirty.add(id);
    this.#wake?.();
  }

  #see(id: string): AdapterSighting {
    const entry = this.#catalog.get(id);
    if (entry === undefined) return { id, rank: 0, bytes: 0n, holders: [] };
    const { size, holders, resident, references } = entry;
    return {
      id,
      rank: size.rank,
      bytes: BigInt(size.bytes),
      holders: [...holders].map((worker) => ({
        worker,
        onDevice: resident.has(worker),
        references: references.get(worker) ?? 0,
      })),
    };
  }
}
