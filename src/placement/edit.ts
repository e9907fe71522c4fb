/** Lists that are never written: each change makes another one, and moves what stays in whole runs. */

/** One step from a list to the next one. */
export interface Step<Item> {
  /** A position in the old list. */
  readonly at: number;
  /** What comes before that position. Absent: what is there goes. */
  readonly comes?: Item;
}

/** Lists of numbers that stand side by side. */
export type Column = Float64Array | Uint32Array | Uint8Array;

/** How many items a list of `length` has after the steps. */
export function lengthAfter(length: number, steps: readonly Step<unknown>[]): number {
  return steps.reduce((sum, { comes }) => sum + (comes === undefined ? -1 : 1), length);
}

/** Fills `into` with what `old` is after the steps, which are in the order of their positions. */
export function editColumn<Into extends Column, Item>(
  into: Into,
  old: Into,
  steps: readonly Step<Item>[],
  valueOf: (item: Item) => number,
): Into {
  let from = 0;
  let to = 0;
  for (const { at, comes } of steps) {
    if (at > from) into.set(old.subarray(from, at), to);
    to += at - from;
    from = at;
    if (comes === undefined) from += 1;
    else into[to++] = valueOf(comes);
  }
  into.set(old.subarray(from), to);
  return into;
}

/** The same for a list of anything. */
export function editList<Item>(old: readonly Item[], steps: readonly Step<Item>[]): Item[] {
  const next: Item[] = [];
  let from = 0;
  for (const { at, comes } of steps) {
    while (from < at) next.push(old[from++]!);
    if (comes === undefined) from += 1;
    else next.push(comes);
  }
  while (from < old.length) next.push(old[from++]!);
  return next;
}
