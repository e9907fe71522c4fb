/** The item whose key comes first, number by number. Undefined if there is no item. */
export function firstBy<T>(items: readonly T[], keyOf: (item: T) => readonly number[]): T | undefined {
  let first: T | undefined;
  let firstKey: readonly number[] = [];
  for (const item of items) {
    const key = keyOf(item);
    if (first !== undefined && !precedes(key, firstKey)) continue;
    first = item;
    firstKey = key;
  }
  return first;
}

function precedes(a: readonly number[], b: readonly number[]): boolean {
  for (const [index, value] of a.entries()) {
    const other = b[index]!;
    if (value !== other) return value < other;
  }
  return false;
}
