import { Tier, WorkerState } from "@polygraft/api";
import type { Adapter } from "@polygraft/api";
import { adapterKey, preferenceList } from "@polygraft/placement";
import { isFailure } from "../failure.js";
import type { FleetListener } from "../fleet/fleet.js";
import type { FleetMember } from "../fleet/member.js";
import type { Candidates } from "./candidates.js";

/** Most adapters of one worker that others are told to load: those in use first. What is left loads on demand. */
const maxAdapters = 256;

/**
 * When a worker drains, tells the next owner of each adapter on its device to load it, while the streams of the one that
 * leaves still run. Those in use come first.
 */
export class HandOver implements FleetListener {
  readonly #candidates: Candidates;

  constructor(candidates: Candidates) {
    this.#candidates = candidates;
  }

  changed(member: FleetMember): void {
    if (member.state !== WorkerState.DRAINING) return;
    const held = [...member.holdings.adapters()].filter((adapter) => tierOf(adapter) === Tier.DEVICE);
    held.sort((a, b) => references(b) - references(a));
    for (const adapter of held.slice(0, maxAdapters)) this.#passOn(member, adapter);
  }

  #passOn(from: FleetMember, { identity }: Adapter): void {
    if (identity === undefined) return;
    const { id, revision } = identity;
    const found = this.#candidates.find(from.hello.model?.name ?? "", { id, revision, digest: "" });
    if (isFailure(found)) return;
    const [next = from.name] = preferenceList(found.fleet, adapterKey({ id, revision }), 1);
    if (next === from.name || found.resident.has(next)) return;
    const adapter = { id, revision, digest: "" };
    this.#candidates.member(next)?.tell({ message: { $case: "prefetch", value: { adapter, tier: Tier.DEVICE } } });
  }
}

function tierOf({ residency }: Adapter): Tier {
  return residency[0]?.tier ?? Tier.UNSPECIFIED;
}

function references({ residency }: Adapter): number {
  return residency[0]?.references ?? 0;
}
