import { Tier } from "@polygraft/api";
import type { Adapter } from "@polygraft/api";
import type { CatalogEntry } from "./entry.js";

/**
 * One adapter for each revision and digest that workers announced under an id, with the residency of all of them.
 * Workers that have not read the content yet, and so announce no digest, count to the digest that others found, if
 * they found one and the same.
 */
export function mergedAdapters(entry: CatalogEntry): Adapter[] {
  const merged = new Map<string, Adapter>();
  const undigested: (readonly [worker: string, adapter: Adapter])[] = [];
  for (const [worker, adapter] of entry.announcements()) {
    if (adapter.identity?.digest === "") undigested.push([worker, adapter]);
    else merge(merged, worker, adapter, adapter.identity?.digest ?? "");
  }
  for (const [worker, adapter] of undigested) {
    const revision = adapter.identity?.revision ?? "";
    const known = [...merged.values()].filter(({ identity }) => identity?.revision === revision && identity.digest !== "");
    merge(merged, worker, adapter, known.length === 1 ? (known[0]?.identity?.digest ?? "") : "");
  }
  return [...merged.values()].sort((a, b) => compare(identityKey(a), identityKey(b)));
}

/** The adapter with another one's residency added. */
export function mergeResidency(into: Adapter, worker: string, from: Adapter): Adapter {
  const held = from.residency
    .filter(({ tier }) => tier !== Tier.SOURCE && tier !== Tier.UNSPECIFIED)
    .map((residency) => ({ ...residency, worker }));
  const others = into.residency.filter((residency) => residency.worker !== worker);
  const residency = [...others, ...held].sort((a, b) => compare(a.worker, b.worker));
  return { ...into, residency };
}

function merge(merged: Map<string, Adapter>, worker: string, adapter: Adapter, digest: string): void {
  const revision = adapter.identity?.revision ?? "";
  const key = `${revision}\n${digest}`;
  const bare = { ...adapter, identity: { id: adapter.identity?.id ?? "", revision, digest }, residency: [] };
  merged.set(key, mergeResidency(merged.get(key) ?? bare, worker, adapter));
}

function identityKey(adapter: Adapter): string {
  return `${adapter.identity?.revision ?? ""}\n${adapter.identity?.digest ?? ""}`;
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
