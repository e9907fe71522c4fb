import type { FleetMember } from "./member.js";

/**
 * The members of a fleet in the order of their names, as lists that are never written. Who comes and goes is only noted;
 * the next reader gets it all merged in one pass, so a thousand workers that join at once sort nothing a thousand times.
 */
export class Listing {
  #list: readonly FleetMember[] = [];
  readonly #added = new Map<string, FleetMember>();
  readonly #removed = new Set<FleetMember>();
  #isStale = false;

  /** The list as of now: the same one until there is a change. */
  get members(): readonly FleetMember[] {
    if (this.#isStale) this.#list = this.#merge();
    this.#isStale = false;
    return this.#list;
  }

  /** Adds a member; one of the same name must have been removed before. */
  add(member: FleetMember): void {
    this.#added.set(member.name, member);
    this.#isStale = true;
  }

  remove(member: FleetMember): void {
    if (this.#added.get(member.name) === member) this.#added.delete(member.name);
    else this.#removed.add(member);
    this.#isStale = true;
  }

  #merge(): FleetMember[] {
    const added = [...this.#added.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
    const merged: FleetMember[] = [];
    let next = 0;
    for (const member of this.#list) {
      if (this.#removed.has(member)) continue;
      while (next < added.length && added[next]!.name < member.name) merged.push(added[next++]!);
      merged.push(member);
    }
    while (next < added.length) merged.push(added[next++]!);
    this.#added.clear();
    this.#removed.clear();
    return merged;
  }
}
