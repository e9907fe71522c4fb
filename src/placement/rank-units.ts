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

/** Bytes of a rank unit; infinite where a worker does not say how many it has. */
export function unitBytesOf({ bytes, rankUnits }: AdapterRoom = { bytes: 0, rankUnits: 0 }): number {
  return rankUnits > 0 ? bytes / rankUnits : Number.POSITIVE_INFINITY;
}

/** Rank units that an adapter needs: by its bytes, which tell its modules and precision too, else its rank. */
export function rankUnitsOf({ rank, bytes }: AdapterSize, unitBytes: number): number {
  return bytes > 0 && unitBytes > 0 ? Math.ceil(bytes / unitBytes) : rank;
}
