/** An item and how good it is. */
export interface Scored<T> {
  readonly item: T;
  readonly score: number;
}

/** The `capacity` best of a series by score, best first. Of equal scores, the one offered first is better. */
export class Top<T> {
  readonly #capacity: number;
  readonly #places: Scored<T>[] = [];

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  /** Keeps `item` if it is among the best so far: in a long series, almost always one comparison. */
  offer(item: T, score: number): void {
    const places = this.#places;
    let at = places.length;
    while (at > 0 && score > places[at - 1]!.score) at--;
    if (at >= this.#capacity) return;
    places.splice(at, 0, { item, score });
    if (places.length > this.#capacity) places.pop();
  }

  /** What an item must have to be kept. */
  get least(): number {
    const worst = this.#places.length < this.#capacity ? undefined : this.#places.at(-1);
    return worst?.score ?? Number.NEGATIVE_INFINITY;
  }

  /** The best so far, best first, with their scores. */
  get places(): readonly Scored<T>[] {
    return this.#places;
  }

  /** The best so far, best first. */
  get items(): T[] {
    return this.#places.map((place) => place.item);
  }
}
