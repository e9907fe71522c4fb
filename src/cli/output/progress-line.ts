/** Tells how far long work has come: a line that changes on a terminal, one line a phase anywhere else. */
export class ProgressLine {
  readonly #out: NodeJS.WriteStream;
  #phase = "";
  #shown = "";

  constructor(out: NodeJS.WriteStream = process.stderr) {
    this.#out = out;
  }

  /** `done` of `total` of a phase. */
  show(phase: string, done: number, total: number): void {
    if (!this.#out.isTTY) {
      if (phase !== this.#phase) this.#out.write(`${phase}…\n`);
      this.#phase = phase;
      return;
    }
    const line = `${phase} ${total > 0 ? Math.floor((100 * done) / total) : 0} %`;
    if (line === this.#shown) return;
    this.#shown = line;
    this.#out.write(`\r\u001b[2K${line}`);
  }

  /** Leaves the line empty. */
  end(): void {
    if (this.#shown !== "") this.#out.write("\r\u001b[2K");
    this.#shown = "";
  }
}
