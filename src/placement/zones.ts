import { editColumn } from "./edit.js";
import type { Step } from "./edit.js";
import type { PlacementWorker } from "./fleet.js";

/** The zones of a list of workers, numbered without gaps. */
export interface Zones {
  /** By position in the list: numbers below `zoneCount`. */
  readonly zones: Uint32Array;
  /** Zones that occur; workers without one share the zone "". */
  readonly zoneCount: number;
  /** Their numbers. */
  readonly zoneNumbers: ReadonlyMap<string, number>;
}

/** Of no workers. */
export const noZones: Zones = { zones: new Uint32Array(), zoneCount: 0, zoneNumbers: new Map() };

/** The zones after the steps, of so many workers. */
export function changeZones(old: Zones, steps: readonly Step<PlacementWorker>[], count: number): Zones {
  const numbers = withNumbers(old.zoneNumbers, steps);
  const zones = editColumn(new Uint32Array(count), old.zones, steps, ({ zone = "" }) => numbers.get(zone)!);
  return withoutGaps(zones, numbers);
}

function withNumbers(known: ReadonlyMap<string, number>, steps: readonly Step<PlacementWorker>[]): ReadonlyMap<string, number> {
  const numbers = new Map<string, number>();
  for (const { comes } of steps) {
    const zone = comes?.zone ?? "";
    if (comes !== undefined && !known.has(zone) && !numbers.has(zone)) numbers.set(zone, known.size + numbers.size);
  }
  return numbers.size === 0 ? known : new Map([...known, ...numbers]);
}

/** Closes up where a zone has lost its last worker, so that names which come and go leave nothing behind. */
function withoutGaps(zones: Uint32Array, numbers: ReadonlyMap<string, number>): Zones {
  const used = new Uint8Array(numbers.size);
  for (let index = 0; index < zones.length; index++) used[zones[index]!] = 1;
  if (!used.includes(0)) return { zones, zoneCount: numbers.size, zoneNumbers: numbers };
  const left = [...numbers].filter(([, number]) => used[number] === 1);
  const renumbered = new Uint32Array(numbers.size);
  for (const [number, [, before]] of left.entries()) renumbered[before] = number;
  const zoneNumbers = new Map(left.map(([zone], number) => [zone, number]));
  return { zones: zones.map((before) => renumbered[before]!), zoneCount: left.length, zoneNumbers };
}
