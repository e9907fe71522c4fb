/** Items in the order of their last use, the longest unused first. */
export class Recency<T> implements Iterable<T> {
  private readonly items = new Set<T>();

  /** Adds an item, or moves it to the end. */
  use(item: T): void {
    this.items.delete(item);
    this.items.add(item);
  }

  delete(item: T): void {
    this.items.delete(item);
  }

  [Symbol.iterator](): Iterator<T> {
    return this.items[Symbol.iterator]();
  }
}
