import { groupWorkers, liveFleet } from "@polygraft/placement";
import type { LiveFleet } from "@polygraft/placement";
import type { FleetMember } from "../fleet/member.js";

/** Members that serve one base model, ready for placement. */
export type MemberFleet = LiveFleet<FleetMember>;

/** Prepares all members of a fleet for each model that they serve. Their total is one that is kept. */
export function groupByModel(members: readonly FleetMember[]): Map<string, MemberFleet> {
  const models = groupWorkers(members, ({ hello }) => hello.model?.name ?? "");
  return new Map([...models].map(([model, served]) => [model, liveFleet(served, (all) => all[0]?.total.tokens ?? 0)]));
}
