import { prepareFleet } from "@polygraft/placement";
import type { PlacementFleet } from "@polygraft/placement";
import type { AdapterSize } from "../catalog/entry.js";
import type { FleetMember } from "../fleet/member.js";

/** Members that serve one base model, ready for placement. */
export interface LiveFleet extends PlacementFleet {
  /** Bytes of a rank unit on their devices, the smallest of any; 0 if none says how many it has. */
  readonly unitBytes: number;
  readonly workers: readonly FleetMember[];
}

/** Prepares all members of a fleet for each model that they serve. */
export function groupByModel(members: readonly FleetMember[]): Map<string, LiveFleet> {
  const models = new Map<string, FleetMember[]>();
  for (const member of members) {
    const model = member.hello.model?.name ?? "";
    const served = models.get(model);
    if (served === undefined) models.set(model, [member]);
    else served.push(member);
  }
  return new Map([...models].map(([model, served]) => [model, prepare(served, (members) => members[0]?.total.tokens ?? 0)]));
}

/** Rank units that an adapter needs: by its bytes, which tell its modules and precision too, else its rank. */
export function rankUnitsOf({ rank, bytes }: AdapterSize, { unitBytes }: LiveFleet): number {
  return bytes > 0 && unitBytes > 0 ? Math.ceil(bytes / unitBytes) : rank;
}

/** Prepares some of the members that serve one model. Their total is a sum over them, made only when it is asked for. */
export function prepareSome(members: readonly FleetMember[]): LiveFleet {
  return prepare(members, sumOf);
}

/** A prepared fleet whose total follows the loads of its members. */
function prepare(members: readonly FleetMember[], total: (members: readonly FleetMember[]) => number): LiveFleet {
  return {
    ...prepareFleet(members),
    workers: members,
    unitBytes: smallestUnit(members),
    get totalTokens() {
      return total(members);
    },
  };
}

function sumOf(members: readonly FleetMember[]): number {
  let total = 0;
  for (const member of members) if (!member.draining) total += member.inFlightTokens;
  return total;
}

function smallestUnit(members: readonly FleetMember[]): number {
  let smallest = Number.POSITIVE_INFINITY;
  for (const { hello } of members) {
    const { adapterBytes = 0n, adapterRankUnits = 0 } = hello.capacity ?? {};
    if (adapterRankUnits > 0) smallest = Math.min(smallest, Number(adapterBytes) / adapterRankUnits);
  }
  return Number.isFinite(smallest) ? smallest : 0;
}
