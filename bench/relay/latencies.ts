/** Latencies of one period. Grows as needed, without an object for each. */
export class Latencies {
  #micros = new Float64Array(1 << 16);
  #count = 0;

  add(micros: number): void {
    if (this.#count === this.#micros.length) {
      const larger = new Float64Array(2 * this.#count);
      larger.set(this.#micros);
      this.#micros = larger;
    }
    this.#micros[this.#count++] = micros;
  }

  /** All since the last call. */
  take(): Float64Array {
    const taken = this.#micros.slice(0, this.#count);
    this.#count = 0;
    return taken;
  }
}
