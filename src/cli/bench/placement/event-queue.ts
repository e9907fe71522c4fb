/** Things that will happen, the earliest first: a binary heap. */
export class EventQueue<T> {
  readonly #heap: { readonly at: number; readonly event: T }[] = [];

  /** When the next one happens; infinity if there is none. */
  get nextAt(): number {
    return this.#heap[0]?.at ?? Number.POSITIVE_INFINITY;
  }

  push(at: number, event: T): void {
    const heap = this.#heap;
    const entry = { at, event };
    let hole = heap.length;
    heap.push(entry);
    while (hole > 0) {
      const parent = (hole - 1) >>> 1;
      if (heap[parent]!.at <= at) break;
      heap[hole] = heap[parent]!;
      hole = parent;
    }
    heap[hole] = entry;
  }

  /** The next one, taken out. */
  pop(): T | undefined {
    const heap = this.#heap;
    const first = heap[0];
    const last = heap.pop();
    if (first === undefined || last === undefined || heap.length === 0) return first?.event;
    let hole = 0;
    for (;;) {
      let child = 2 * hole + 1;
      if (child + 1 < heap.length && heap[child + 1]!.at < heap[child]!.at) child += 1;
      if (child >= heap.length || heap[child]!.at >= last.at) break;
      heap[hole] = heap[child]!;
      hole = child;
    }
    heap[hole] = last;
    return first.event;
  }
}
