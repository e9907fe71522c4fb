/** A bound on bytes that many calls hold together. */
export class ByteBudget {
  readonly #limit: number;
  #taken = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Bytes held now. */
  get taken(): number {
    return this.#taken;
  }

  /** Whether more than half is held: what is only good to have should be given back. */
  get crowded(): boolean {
    return this.#taken > this.#limit / 2;
  }

  /** Takes bytes if there are that many left. A negative number gives some back, which always succeeds. */
  take(bytes: number): boolean {
    if (bytes > 0 && this.#taken + bytes > this.#limit) return false;
    this.#taken += bytes;
    return true;
  }

  /** Gives bytes back that were taken. */
  give(bytes: number): void {
    this.#taken -= bytes;
  }
}
