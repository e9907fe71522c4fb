/**
 * The order in which a key prefers its workers: by score, but taking turns between zones. First comes the best of each
 * zone, then the second of each, and so on. So the first is always the best of all, the next one is in another zone,
 * where a failure of the first one's zone does not reach, and still a worker that joins or leaves moves only the keys
 * it wins or loses. Workers that drain come last.
 */

import { Best, limitOf } from "./best.js";
import type { PlacementFleet } from "./fleet.js";
import { gapBelowOne, type Hash64, hash64 } from "./hash.js";
import { score } from "./rendezvous.js";
import { type Scored, Top } from "./top.js";

/**
 * Names of the key's workers in the order of preference, best first; ties go to the smaller name.
 *
 * @param limit most names to return. A short list of a large fleet costs no sorting. Default: all.
 */
export function preferenceList(fleet: PlacementFleet, key: string, limit = fleet.workers.length): string[] {
  const hash = hash64(key);
  const awake = ranking(fleet, hash, limit);
  const more = limit - awake.length;
  const order = more > 0 ? [...awake, ...draining(fleet, hash, more)] : awake;
  return order.map((index) => fleet.workers[index]!.name);
}

/** The first `limit` of the order that do not drain, by their index in the fleet. */
function ranking(fleet: PlacementFleet, hash: Hash64, limit: number): number[] {
  const tops = Array.from({ length: fleet.zoneCount }, () => new Top<number>(limit));
  const limits = new Float64Array(tops.length);
  for (const [index, worker] of fleet.workers.entries()) {
    const zone = fleet.zones[index]!;
    if (limits[zone]! * gapBelowOne(hash, fleet.hashHi[index]!) >= fleet.weights[index]!) continue;
    if (worker.draining === true) continue;
    const top = tops[zone]!;
    top.offer(index, score(fleet, index, hash));
    limits[zone] = limitOf(top.least);
  }
  const [only] = tops;
  return only !== undefined && tops.length === 1 ? only.items : takingTurns(tops, limit);
}

/**
 * The first of the order that passes, by its index in the fleet; -1: none. Two passes and no list: only the best of each
 * zone that pass can be meant, and of these the one with the fewest before it in its zone.
 *
 * @param passes must be false for workers that drain.
 */
export function firstInOrder(fleet: PlacementFleet, hash: Hash64, passes: (index: number) => boolean): number {
  const { workers, weights, hashHi, zones, zoneCount } = fleet;
  const bests = Array.from({ length: zoneCount }, () => new Best());
  const before = new Uint32Array(zoneCount);
  for (let index = 0; index < workers.length; index++) {
    const best = bests[zones[index]!]!;
    if (best.beats(weights[index]!, gapBelowOne(hash, hashHi[index]!)) || !passes(index)) continue;
    best.offer(index, score(fleet, index, hash));
  }
  if (zoneCount === 1) return bests[0]!.index;
  for (let index = 0; index < workers.length; index++) {
    const zone = zones[index]!;
    const best = bests[zone]!;
    if (best.index < 0 || best.beats(weights[index]!, gapBelowOne(hash, hashHi[index]!))) continue;
    const value = score(fleet, index, hash);
    if (isBetter(value, index, best.score, best.index) && workers[index]!.draining !== true) before[zone]! += 1;
  }
  let first = -1;
  for (const [zone, best] of bests.entries()) {
    if (best.index >= 0 && (first < 0 || precedes(zone, first))) first = zone;
  }
  return first < 0 ? -1 : bests[first]!.index;

  function precedes(zone: number, other: number): boolean {
    if (before[zone] !== before[other]) return before[zone]! < before[other]!;
    return bests[zone]!.precedes(bests[other]!);
  }
}

/** How many come before the worker at `index`, which does not drain, in the order. */
export function positionInOrder(fleet: PlacementFleet, hash: Hash64, index: number): number {
  const { workers, weights, hashHi, zones, zoneCount } = fleet;
  const own = score(fleet, index, hash);
  const limit = limitOf(own);
  /** Workers of each zone that do not drain and score higher; where there are several zones, also all of them. */
  const higher = new Uint32Array(zoneCount);
  const sizes = new Uint32Array(zoneCount);
  for (let other = 0; other < workers.length; other++) {
    const isLower = limit * gapBelowOne(hash, hashHi[other]!) >= weights[other]!;
    if ((isLower && zoneCount === 1) || workers[other]!.draining === true) continue;
    sizes[zones[other]!]! += 1;
    if (!isLower && isBetter(score(fleet, other, hash), other, own, index)) higher[zones[other]!]! += 1;
  }
  const turn = higher[zones[index]!]!;
  let position = 0;
  // All earlier turns come before it, and of its own turn those that score higher.
  for (let zone = 0; zone < zoneCount; zone++) {
    position += higher[zone]! > turn ? turn + 1 : Math.min(turn, zoneCount === 1 ? turn : sizes[zone]!);
  }
  return position;
}

function draining(fleet: PlacementFleet, hash: Hash64, limit: number): number[] {
  const top = new Top<number>(limit);
  for (const [index, worker] of fleet.workers.entries()) {
    if (worker.draining === true) top.offer(index, score(fleet, index, hash));
  }
  return top.items;
}

function takingTurns(tops: readonly Top<number>[], limit: number): number[] {
  const order: number[] = [];
  for (let turn = 0; order.length < limit; turn++) {
    const round = tops.map(({ places }) => places[turn]).filter((place): place is Scored<number> => place !== undefined);
    if (round.length === 0) break;
    round.sort((a, b) => (isBetter(a.score, a.item, b.score, b.item) ? -1 : 1));
    order.push(...round.map(({ item }) => item));
  }
  return order.slice(0, limit);
}

/** Positions follow names, so ties go to the smaller name. */
function isBetter(score: number, index: number, otherScore: number, otherIndex: number): boolean {
  return score > otherScore || (score === otherScore && index < otherIndex);
}
