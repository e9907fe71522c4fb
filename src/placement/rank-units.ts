/** What adapters take of the memory that workers have for them, in units of rank. */

/** What an adapter takes on a device. */
export interface AdapterSize {
  readonly rank: number;
  /** 0: no worker has opened it yet. */
  readonly bytes: number;
}

/** What a worker has for adapters. */
export interface AdapterRoom {
  readonly bytes: number;
  /** 0: unknown. */
  readonly rankUnits: number;
}

/** Bytes of a rank unit, the smallest on any of these workers; 0 if none says how many it has. */
export function smallestUnitBytes(rooms: Iterable<AdapterRoom>): number {
  let smallest = Number.POSITIVE_INFINITY;
  for (const { bytes, rankUnits } of rooms) if (rankUnits > 0) smallest = Math.min(smallest, bytes / rankUnits);
  return Number.isFinite(smallest) ? smallest : 0;
}

/** Rank units that an adapter needs: by its bytes, which tell its modules and precision too, else its rank. */
export function rankUnitsOf({ rank, bytes }: AdapterSize, unitBytes: number): number {
  return bytes > 0 && unitBytes > 0 ? Math.ceil(bytes / unitBytes) : rank;
}
