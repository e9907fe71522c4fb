/** What one of several series has yielded, or that it has ended. */
interface Arrival<T> {
  readonly from: AsyncGenerator<T>;
  readonly result?: IteratorResult<T, unknown>;
  readonly error?: unknown;
}

/**
 * What several series yield, as it comes, each in its own order. A series is asked for its next value only after the
 * last one was taken, so nothing piles up. It ends with the first of them that ends or fails; the others are left.
 *
 * Not with `Promise.race`: each race would leave a callback behind at a series that says nothing for days.
 */
export async function* merge<T>(...series: readonly AsyncGenerator<T>[]): AsyncGenerator<T> {
  const arrivals: Arrival<T>[] = [];
  let wake = () => {};
  const arrived = (arrival: Arrival<T>) => {
    arrivals.push(arrival);
    wake();
  };
  const ask = (from: AsyncGenerator<T>) =>
    void from.next().then(
      (result) => arrived({ from, result }),
      (error: unknown) => arrived({ from, error }),
    );
  series.forEach(ask);
  try {
    for (;;) {
      const next = arrivals.shift();
      if (next === undefined) {
        await new Promise<void>((resolve) => (wake = resolve));
        continue;
      }
      if (next.result === undefined) throw next.error;
      if (next.result.done === true) return;
      yield next.result.value;
      ask(next.from);
    }
  } finally {
    for (const each of series) each.return(undefined).catch(() => {});
  }
}
