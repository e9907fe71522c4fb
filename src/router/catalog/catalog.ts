import type { FleetListener } from "../fleet/fleet.js";
import type { HoldingsChange } from "../fleet/holdings.js";
import type { FleetMember } from "../fleet/member.js";
import { CatalogEntry } from "./entry.js";

/** Which adapters exist: what the workers of a fleet announced, by id. Kept up to date by listening to the fleet. */
export class Catalog implements FleetListener {
  readonly #entries = new Map<string, CatalogEntry>();
  #sorted: readonly string[] | undefined;

  /** What is known of an adapter. Undefined: no worker has announced it. */
  get(id: string): CatalogEntry | undefined {
    return this.#entries.get(id);
  }

  /** All ids, in order. */
  get ids(): readonly string[] {
    return (this.#sorted ??= [...this.#entries.keys()].sort());
  }

  announced(member: FleetMember, change: HoldingsChange): void {
    for (const adapter of change.withdrawn) this.#withdraw(member.name, adapter.identity);
    for (const adapter of change.announced) {
      if (adapter.identity === undefined || adapter.identity.id === "") continue;
      this.#entry(adapter.identity.id).announce(member.name, adapter);
    }
  }

  left(member: FleetMember): void {
    for (const adapter of member.holdings.adapters()) this.#withdraw(member.name, adapter.identity);
  }

  #entry(id: string): CatalogEntry {
    let entry = this.#entries.get(id);
    if (entry === undefined) {
      entry = new CatalogEntry(id);
      this.#entries.set(id, entry);
      this.#sorted = undefined;
    }
    return entry;
  }

  #withdraw(worker: string, identity: { readonly id: string; readonly revision: string } | undefined): void {
    if (identity === undefined) return;
    const entry = this.#entries.get(identity.id);
    if (entry === undefined) return;
    entry.withdraw(worker, identity.revision);
    if (entry.holders.size > 0) return;
    this.#entries.delete(identity.id);
    this.#sorted = undefined;
  }
}
