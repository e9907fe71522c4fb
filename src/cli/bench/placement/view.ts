import { performance } from "node:perf_hooks";
import { LoadSample, ResidencyUpdate, WorkerHello } from "@polygraft/api";
import { place, prepareFleet } from "@polygraft/placement";
import type { PlacementFleet } from "@polygraft/placement";
import { Candidates, Catalog, Fleet } from "@polygraft/router";
import type { FleetMember } from "@polygraft/router";
import { median, percentile } from "../statistics.js";
import { bytesPerCall } from "./allocated.js";

/** What a router's view of its fleet costs, beside one that is made anew at each change. Times in microseconds. */
export interface ViewCost {
  readonly workers: number;
  readonly view: "kept" | "anew";
  /** For each of the workers that join between two decisions. */
  readonly joinMicros: number;
  /** The decision after one has joined or left. */
  readonly afterChangeMicros: number;
  /** A decision with all workers above the floor, a request sent and a load sample heard before each. */
  readonly decisionP50Micros: number;
  readonly decisionP99Micros: number;
  /** Bytes that such a decision allocates. */
  readonly decisionBytes: number;
}

/** Joins and leaves, in turn, after each of which a decision is measured. */
const changes = 500;

const hello = (name: string) => WorkerHello.fromPartial({ name, address: "h:1", model: { name: "m" } });
const nothing = ResidencyUpdate.fromPartial({ snapshot: true, complete: true });
const busy = LoadSample.fromPartial({ inFlightTokens: 50_000 });

/** Measures a fleet of so many workers, both ways in turn. */
export async function viewCosts(workers: number, decisions: number): Promise<ViewCost[]> {
  return [await viewCost("kept", workers, decisions), await viewCost("anew", workers, decisions)];
}

async function viewCost(view: ViewCost["view"], workers: number, decisions: number): Promise<ViewCost> {
  const joins = Math.min(Math.floor(workers / 2), 200);
  const fleet = new Fleet();
  const candidates = new Candidates(fleet, new Catalog());
  const members: FleetMember[] = [];
  const prepared = (): PlacementFleet => (view === "kept" ? kept(candidates) : anew(members));
  const join = (index: number): void => {
    // Joins come in no order of names.
    const member = fleet.join(hello(`worker-${(index * 7919) % 1_000_003}`), () => {}, 0);
    fleet.hold(member, nothing, 0);
    fleet.load(member, busy, 0);
    members.push(member);
  };
  const joinAndSort = (index: number): void => {
    join(index);
    if (view === "anew") members.sort((a, b) => (a.name < b.name ? -1 : 1));
  };
  for (let index = 0; index < workers - joins; index++) join(index);
  members.sort((a, b) => (a.name < b.name ? -1 : 1));
  decide(prepared(), 0);
  const joinMicros = micros(() => {
    for (let index = workers - joins; index < workers; index++) joinAndSort(index);
  }) / joins;
  const steady = view === "anew" ? anew(members) : undefined;
  const times = new Float64Array(decisions);
  for (let index = 0; index < decisions; index++) {
    const member = members[(index * 31) % members.length]!;
    member.tally.dispatch(10);
    fleet.load(members[(index * 17) % members.length]!, busy, 0);
    times[index] = micros(() => decide(steady ?? prepared(), index));
  }
  times.sort();
  const decisionBytes = await bytesPerCall((index) => decide(steady ?? prepared(), index));
  // Last, so that what they run is compiled.
  const afterChange = Array.from({ length: changes }, (_, index) => {
    if (index % 2 === 0) joinAndSort(workers + index);
    else fleet.leave(members.splice((index * 31) % members.length, 1)[0]!);
    return micros(() => decide(prepared(), index));
  });
  return {
    workers,
    view,
    joinMicros,
    afterChangeMicros: median(afterChange),
    decisionP50Micros: percentile(times, 0.5),
    decisionP99Micros: percentile(times, 0.99),
    decisionBytes,
  };
}

function kept(candidates: Candidates): PlacementFleet {
  const found = candidates.find("m", undefined);
  if ("status" in found) throw new Error(found.message);
  return found.fleet;
}

/** Sorted and hashed from names alone, its total a sum over all. */
function anew(members: readonly FleetMember[]): PlacementFleet {
  const workers = members.map((member) => ({ name: member.name }));
  return {
    ...prepareFleet(workers),
    workers: members,
    get totalTokens() {
      return members.reduce((sum, { inFlightTokens }) => sum + inFlightTokens, 0);
    },
  };
}

function decide(fleet: PlacementFleet, index: number): void {
  if (place(fleet, { key: `adapter-${index}`, rankUnits: 8 }) === undefined) throw new Error("no worker was chosen");
}

function micros(work: () => void): number {
  const begin = performance.now();
  work();
  return (performance.now() - begin) * 1000;
}
