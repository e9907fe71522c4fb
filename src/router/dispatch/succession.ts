import { adapterKey, preferenceList, prefers } from "@polygraft/placement";
import { Tier } from "@polygraft/api";
import type { Adapter, AdapterRef } from "@polygraft/api";
import type { PlacementFleet, PlacementWorker } from "@polygraft/placement";
import { tierOf } from "../catalog/entry.js";
import { isFailure } from "../failure.js";
import type { FleetMember, MemberFleet } from "../fleet/member.js";
import type { Candidates } from "./candidates.js";

/** Most adapters of one worker that are loaded ahead: those in use first. What is left loads on demand. */
const maxAdapters = 256;

/** An adapter, and a worker that will be asked for it. */
export interface Heir {
  readonly adapter: AdapterRef;
  readonly worker: string;
}

/** Who will be asked for a worker's adapters when it has gone, and does not have them on the device yet. */
export function heirsOf(leaver: FleetMember, candidates: Candidates): Heir[] {
  const views = new Views((worker) => worker === leaver || worker.leaving || worker.draining);
  const heirs: Heir[] = [];
  for (const adapter of inUseFirst(onDevice([leaver]).values()).slice(0, maxAdapters)) {
    const found = candidates.find(modelOf(leaver), adapter.ref);
    if (isFailure(found)) continue;
    const view = views.of(found.fleet);
    const next = preferenceList(view, adapterKey(adapter.ref), found.replicas);
    const stay = next.filter((name) => !found.resident.has(name) && !views.drains(candidates.member(name)));
    for (const worker of stay) heirs.push({ adapter: adapter.ref, worker });
  }
  return heirs;
}

/** The adapters on the devices of the others that will be a newcomer's once it takes requests, as far as it has room. */
export function legacyOf(newcomer: FleetMember, others: readonly FleetMember[], candidates: Candidates): AdapterRef[] {
  const views = new Views((worker) => worker !== newcomer && (worker.leaving || worker.draining));
  const room = newcomer.adapterRoom.rankUnits || Number.POSITIVE_INFINITY;
  const legacy: AdapterRef[] = [];
  let taken = 0;
  for (const { ref, holders } of inUseFirst(onDevice(others.filter((it) => modelOf(it) === modelOf(newcomer))).values())) {
    if (legacy.length === maxAdapters) break;
    const key = adapterKey(ref);
    // Those that hold an adapter are its first, as a rule: who is behind all of them need not be looked at closely.
    if (!holders.some((holder) => prefers(key, newcomer, holder))) continue;
    const found = candidates.find(modelOf(newcomer), ref);
    if (isFailure(found) || found.resident.has(newcomer.name) || taken + found.rankUnits > room) continue;
    const view = views.of(found.fleet);
    if (!preferenceList(view, key, found.replicas).includes(newcomer.name)) continue;
    taken += found.rankUnits;
    legacy.push(ref);
  }
  return legacy;
}

interface Held {
  readonly ref: AdapterRef;
  readonly holders: FleetMember[];
  references: number;
}

/** What these workers have on their devices. */
function onDevice(workers: readonly FleetMember[]): Map<string, Held> {
  const all = new Map<string, Held>();
  for (const worker of workers) {
    for (const adapter of worker.holdings.adapters()) {
      if (adapter.identity === undefined || tierOf(adapter) !== Tier.DEVICE) continue;
      const { id, revision } = adapter.identity;
      const key = adapterKey({ id, revision });
      let held = all.get(key);
      if (held === undefined) all.set(key, (held = { ref: { id, revision, digest: "" }, holders: [], references: 0 }));
      held.holders.push(worker);
      held.references += references(adapter);
    }
  }
  return all;
}

function inUseFirst(all: Iterable<Held>): Held[] {
  return [...all].sort((a, b) => b.references - a.references);
}

function references({ residency }: Adapter): number {
  return residency[0]?.references ?? 0;
}

function modelOf({ hello }: FleetMember): string {
  return hello.model?.name ?? "";
}

/** Fleets as they will be. Adapters share most of them, so each is made once. */
class Views {
  readonly #drains: (worker: FleetMember) => boolean;
  readonly #views = new Map<MemberFleet, PlacementFleet>();

  constructor(drains: (worker: FleetMember) => boolean) {
    this.#drains = drains;
  }

  drains(worker: FleetMember | undefined): boolean {
    return worker === undefined || this.#drains(worker);
  }

  of(fleet: MemberFleet): PlacementFleet {
    let view = this.#views.get(fleet);
    if (view === undefined) {
      const as = (worker: FleetMember): PlacementWorker => ({ name: worker.name, draining: this.#drains(worker) });
      this.#views.set(fleet, (view = { ...fleet, workers: fleet.workers.map(as) }));
    }
    return view;
  }
}
