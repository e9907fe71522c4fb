import { Tier } from "@polygraft/api";
import type { Adapter, AdapterRef } from "@polygraft/api";
import { adapterKey, prefers } from "@polygraft/placement";
import type { FleetMember } from "../fleet/member.js";
import type { Candidates } from "./candidates.js";
import { goes, heirsOf } from "./succession.js";
import type { Succession } from "./succession.js";

/** What a worker that leaves has on its device, who gets it, and who has not loaded it yet. */
export class Bequest {
  readonly #leaver: FleetMember;
  readonly #candidates: Candidates;
  /** By adapter. */
  readonly #successions = new Map<string, Succession>();
  readonly #told = new Set<string>();
  readonly #awaited = new Set<string>();

  constructor(leaver: FleetMember, candidates: Candidates) {
    this.#leaver = leaver;
    this.#candidates = candidates;
  }

  /** Tells those who get it to load it. */
  begin(): this {
    this.#settle();
    return this;
  }

  /** Whether all of it is where its requests will go, as far as anybody could be asked. */
  get isOver(): boolean {
    return this.#awaited.size === 0;
  }

  /** That member takes requests where it did not, or will not where it did. Returns the adapters that get other owners by that. */
  review(member: FleetMember): Adapter[] {
    const changed = [...this.#successions.values()].filter((succession) => this.#touches(member, succession));
    const adapters = changed.map(({ adapter }) => adapter);
    if (adapters.length > 0) this.#settle(adapters);
    return adapters;
  }

  /** These have come to the leaver's own device. */
  add(adapters: readonly Adapter[]): void {
    if (adapters.length > 0) this.#settle(adapters);
  }

  /** These are on the device of another worker now. */
  arrived(worker: string, adapters: readonly Adapter[]): void {
    for (const { identity } of adapters) if (identity !== undefined) this.#awaited.delete(placeOf(worker, identity));
  }

  #touches(member: FleetMember, { key, owners }: Succession): boolean {
    if (goes(member) || this.#candidates.member(member.name) !== member) return owners.includes(member.name);
    const [first] = owners;
    const owner = first === undefined ? undefined : this.#candidates.member(first);
    // Of several owners, some may be there for their zones.
    return owners.length !== 1 || owner === undefined || prefers(key, member, owner);
  }

  /** Finds the owners of these, waits for those that have not loaded them, and tells them if that is news. */
  #settle(adapters?: readonly Adapter[]): void {
    for (const succession of heirsOf(this.#leaver, this.#candidates, adapters)) {
      const { key, ref, cold } = succession;
      for (const owner of this.#successions.get(key)?.owners ?? []) this.#awaited.delete(placeOf(owner, ref));
      this.#successions.set(key, succession);
      for (const worker of cold) this.#await(worker, ref);
    }
  }

  #await(worker: string, adapter: AdapterRef): void {
    const place = placeOf(worker, adapter);
    this.#awaited.add(place);
    if (this.#told.has(place)) return;
    this.#told.add(place);
    this.#candidates.member(worker)?.tell({ message: { $case: "prefetch", value: { adapter, tier: Tier.DEVICE } } });
  }
}

/** Names of workers hold no line break. */
function placeOf(worker: string, adapter: Pick<AdapterRef, "id" | "revision">): string {
  return `${worker}\n${adapterKey(adapter)}`;
}
