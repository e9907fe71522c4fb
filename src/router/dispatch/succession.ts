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

/** Who gets an adapter of a worker that leaves. */
export interface Succession {
  /** As that worker describes it. */
  readonly adapter: Adapter;
  readonly ref: AdapterRef;
  /** What placement hashes for it. */
  readonly key: string;
  /** Workers that will be asked for it. */
  readonly owners: readonly string[];
  /** Those of them that do not have it on the device yet. */
  readonly cold: readonly string[];
}

/** Who will be asked for a worker's adapters when it has gone. `some`: for these alone; they must be on its device. */
export function heirsOf(leaver: FleetMember, candidates: Candidates, some?: readonly Adapter[]): Succession[] {
  const views = new Views((worker) => worker === leaver || goes(worker));
  const heirs: Succession[] = [];
  const held = onDevice([leaver], some === undefined ? allOf : () => some);
  for (const { ref, adapter } of inUseFirst(held.values()).slice(0, maxAdapters)) {
    const found = candidates.find(modelOf(leaver), ref);
    if (isFailure(found)) continue;
    const key = adapterKey(ref);
    const next = preferenceList(views.of(found.fleet), key, found.replicas);
    const owners = next.filter((name) => !views.drains(candidates.member(name)));
    heirs.push({ adapter, ref, key, owners, cold: owners.filter((name) => !found.resident.has(name)) });
  }
  return heirs;
}

/** What a worker that starts has been asked to load, and what of its room that takes. */
export class Legacy {
  readonly #newcomer: FleetMember;
  readonly #candidates: Candidates;
  readonly #asked = new Set<string>();
  #room: number;

  constructor(newcomer: FleetMember, candidates: Candidates) {
    this.#newcomer = newcomer;
    this.#candidates = candidates;
    this.#room = newcomer.adapterRoom.rankUnits || Number.POSITIVE_INFINITY;
  }

  /**
   * What more there is to load: the adapters on the devices of the others that will be the newcomer's once it takes
   * requests, as far as it has room. Without those that it was asked to load before.
   *
   * @param some of their adapters. Default: all.
   */
  grow(others: Iterable<FleetMember>, some?: readonly Adapter[]): AdapterRef[] {
    const newcomer = this.#newcomer;
    const views = new Views((worker) => worker !== newcomer && goes(worker));
    const more: AdapterRef[] = [];
    const peers = [...others].filter((other) => other !== newcomer && modelOf(other) === modelOf(newcomer));
    for (const { ref, holders } of inUseFirst(onDevice(peers, some === undefined ? allOf : () => some).values())) {
      if (this.#asked.size === maxAdapters) break;
      const key = adapterKey(ref);
      // Those that hold an adapter are its first, as a rule: who is behind all that stay need not be looked at closely.
      if (this.#asked.has(key) || !holders.some((holder) => this.#goes(holder) || prefers(key, newcomer, holder))) continue;
      const found = this.#candidates.find(modelOf(newcomer), ref);
      if (isFailure(found) || found.resident.has(newcomer.name) || found.rankUnits > this.#room) continue;
      if (!preferenceList(views.of(found.fleet), key, found.replicas).includes(newcomer.name)) continue;
      this.#room -= found.rankUnits;
      this.#asked.add(key);
      more.push(ref);
    }
    return more;
  }

  #goes(worker: FleetMember): boolean {
    return goes(worker) || this.#candidates.member(worker.name) !== worker;
  }
}

/** Whether requests will soon go elsewhere, or do so already. */
export function goes({ leaving, draining }: FleetMember): boolean {
  return leaving || draining;
}

interface Held {
  readonly ref: AdapterRef;
  /** As the first of them describes it. */
  readonly adapter: Adapter;
  readonly holders: FleetMember[];
  references: number;
}

/** Adapters of a worker. */
type AdaptersOf = (worker: FleetMember) => Iterable<Adapter>;

function allOf({ holdings }: FleetMember): Iterable<Adapter> {
  return holdings.adapters();
}

/** What these workers have on their devices. */
function onDevice(workers: readonly FleetMember[], adapters: AdaptersOf): Map<string, Held> {
  const all = new Map<string, Held>();
  for (const worker of workers) {
    for (const adapter of adapters(worker)) {
      if (adapter.identity === undefined || tierOf(adapter) !== Tier.DEVICE) continue;
      const { id, revision } = adapter.identity;
      const key = adapterKey({ id, revision });
      let held = all.get(key);
      if (held === undefined) all.set(key, (held = { ref: { id, revision, digest: "" }, adapter, holders: [], references: 0 }));
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
