/** The `capacity` best of a series by score, best first. Of equal scores, the one offered first is better. */
export class Top<T> {
  readonly #capacity: number;
  readonly #places: { readonly item: T; readonly score: number }[] = [];

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

  /** The best so far, best first. */
  get items(): T[] {
    return this.#places.map((place) => place.item);
  }
}
