import { oneLine } from "./table.js";

/** Shows several streams of text at once. */
export interface StreamView {
  /** More text of a stream. */
  write(stream: number, text: string): void;
  /** The end of a stream, and what to remark about it. */
  end(stream: number, remark: string): void;
  /** To be called when all have ended. */
  close(): void;
}

/** A view for where standard output leads: live rows on a terminal, lines anywhere else. */
export function streamView(names: readonly string[], out: NodeJS.WriteStream = process.stdout): StreamView {
  return out.isTTY ? new LiveRows(names, out) : new NamedLines(names, out);
}

const redrawMs = 50;

/** One row for each stream, redrawn in place, with the end of its text. */
class LiveRows implements StreamView {
  readonly #names: readonly string[];
  readonly #out: NodeJS.WriteStream;
  readonly #texts: string[];
  readonly #remarks: string[];
  readonly #timer: NodeJS.Timeout;
  #drawn = false;

  constructor(names: readonly string[], out: NodeJS.WriteStream) {
    this.#names = names;
    this.#out = out;
    this.#texts = names.map(() => "");
    this.#remarks = names.map(() => "");
    this.#draw();
    this.#timer = setInterval(() => this.#draw(), redrawMs);
  }

  write(stream: number, text: string): void {
    // Only the end is shown, so only that is kept.
    this.#texts[stream] = ((this.#texts[stream] ?? "") + text).slice(-1000);
  }

  end(stream: number, remark: string): void {
    this.#remarks[stream] = remark;
  }

  close(): void {
    clearInterval(this.#timer);
    this.#draw();
  }

  #draw(): void {
    const nameWidth = Math.max(...this.#names.map((name) => name.length));
    const rows = this.#names.map((name, index) => {
      const remark = this.#remarks[index] ?? "";
      const space = this.#out.columns - nameWidth - remark.length - 7;
      const text = [...oneLine((this.#texts[index] ?? "").trimStart())].slice(-Math.max(space, 8)).join("");
      return `\u001b[2K${name.padEnd(nameWidth)} ${remark === "" ? "▸" : "✓"} ${text}${remark === "" ? "" : `  ${remark}`}\n`;
    });
    this.#out.write((this.#drawn ? `\u001b[${rows.length}A` : "") + rows.join(""));
    this.#drawn = true;
  }
}

/** A line for each piece of a stream that is worth one: after a line break, after some length, and at the end. */
class NamedLines implements StreamView {
  readonly #names: readonly string[];
  readonly #out: NodeJS.WritableStream;
  readonly #pending: string[];

  constructor(names: readonly string[], out: NodeJS.WritableStream) {
    const width = Math.max(...names.map((name) => name.length));
    this.#names = names.map((name) => name.padEnd(width));
    this.#out = out;
    this.#pending = names.map(() => "");
  }

  write(stream: number, text: string): void {
    const pending = (this.#pending[stream] ?? "") + text;
    const whole = pending.length >= 40 ? pending.length : pending.lastIndexOf("\n") + 1;
    if (whole > 0) this.#line(stream, pending.slice(0, whole));
    this.#pending[stream] = pending.slice(whole);
  }

  end(stream: number, remark: string): void {
    this.#line(stream, this.#pending[stream] ?? "");
    this.#out.write(`${this.#names[stream]} ✓ ${remark}\n`);
  }

  close(): void {}

  #line(stream: number, text: string): void {
    if (text.trim() !== "") this.#out.write(`${this.#names[stream]} ▸ ${oneLine(text.trimEnd())}\n`);
  }
}
