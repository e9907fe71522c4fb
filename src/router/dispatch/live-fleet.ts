import { prepareFleet } from "@polygraft/placement";
import type { PlacementFleet } from "@polygraft/placement";
import type { AdapterSize } from "../catalog/entry.js";
import type { FleetMember } from "../fleet/member.js";

/** Members that serve one base model, ready for placement. */
export interface LiveFleet extends PlacementFleet {
  /** Bytes of a rank unit on their devices, the smallest of any; 0 if none says how many it has. */
  readonly unitBytes: number;
}

/** Prepares members, given in the order of their names, for each model that they serve. */
export function groupByModel(members: readonly FleetMember[]): Map<string, LiveFleet> {
  const models = new Map<string, FleetMember[]>();
  for (const member of members) {
    const model = member.hello.model?.name ?? "";
    const served = models.get(model);
    if (served === undefined) models.set(model, [member]);
    else served.push(member);
  }
  return new Map([...models].map(([model, served]) => [model, liveFleet(served)]));
}

/** Rank units that an adapter needs: by its bytes, which tell its modules and precision too, else its rank. */
export function rankUnitsOf({ rank, bytes }: AdapterSize, { unitBytes }: LiveFleet): number {
  return bytes > 0 && unitBytes > 0 ? Math.ceil(bytes / unitBytes) : rank;
}

/** A prepared fleet whose total follows the loads of its members. */
function liveFleet(members: readonly FleetMember[]): LiveFleet {
  const prepared = prepareFleet(members);
  return {
    ...prepared,
    unitBytes: smallestUnit(members),
    get totalTokens() {
      let total = 0;
      for (const member of members) if (!member.draining) total += member.inFlightTokens;
      return total;
    },
  };
}

function smallestUnit(members: readonly FleetMember[]): number {
  let smallest = Number.POSITIVE_INFINITY;
  for (const { hello } of members) {
    const { adapterBytes = 0n, adapterRankUnits = 0 } = hello.capacity ?? {};
    if (adapterRankUnits > 0) smallest = Math.min(smallest, Number(adapterBytes) / adapterRankUnits);
  }
  return Number.isFinite(smallest) ? smallest : 0;
}
