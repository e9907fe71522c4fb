import { exactBf16, halfPower } from "./numbers.js";
import { Random } from "./random.js";

/** How GGUF packs values in blocks, and how to make random ones. Layouts: ggml's `ggml-common.h`. */
export interface Format {
  /** GGUF's number of the type. */
  readonly ggmlType: number;
  readonly blockValues: number;
  readonly blockBytes: number;
  /** Standard deviation of its random codes. */
  readonly codeDeviation: number;
  /** Writes a block of random codes that stand for `code · 2^exponent`, and returns the codes. */
  randomBlock(random: Random, exponent: number, out: Buffer): Int8Array;
}

/** 32 values: a half `d`, 16 bytes of two codes each; d · (q − 8). */
export const q4_0: Format = {
  ggmlType: 2,
  blockValues: 32,
  blockBytes: 18,
  codeDeviation: 4.6,
  randomBlock(random, exponent, out) {
    const codes = Int8Array.from({ length: 32 }, () => random.below(16) - 8);
    // Both ends of the grid occur, so a quantizer that looks at the values finds the very same grid.
    const low = random.below(16);
    codes[low] = -8;
    codes[low + 16] = 7;
    out.writeUInt16LE(halfPower(exponent));
    for (let i = 0; i < 16; i++) out[2 + i] = (codes[i]! + 8) | ((codes[i + 16]! + 8) << 4);
    return codes;
  },
};

/** 32 values: a half `d`, 32 signed bytes; d · q. */
export const q8_0: Format = {
  ggmlType: 8,
  blockValues: 32,
  blockBytes: 34,
  codeDeviation: 73,
  randomBlock(random, exponent, out) {
    const codes = Int8Array.from({ length: 32 }, () => random.below(255) - 127);
    codes[random.below(32)] = 127;
    out.writeUInt16LE(halfPower(exponent));
    out.set(new Uint8Array(codes.buffer), 2);
    return codes;
  },
};

/** 256 values of 6 bits: 128 bytes of low halves, 64 bytes of high pairs, 16 signed scales, a half `d`; d · scale · (q − 32). */
export const q6K: Format = {
  ggmlType: 14,
  blockValues: 256,
  blockBytes: 210,
  codeDeviation: 18.5,
  randomBlock(random, exponent, out) {
    const codes = Int8Array.from({ length: 256 }, () => random.below(64) - 32);
    const scale = 16;
    out.fill(0);
    for (let i = 0; i < 256; i++) {
      const code = codes[i]! + 32;
      const [half, quarter, column] = [i >> 7, (i >> 5) & 3, i & 31];
      out[64 * half + 32 * (quarter & 1) + column]! |= (code & 15) << (4 * (quarter >> 1));
      out[128 + 32 * half + column]! |= (code >> 4) << (2 * quarter);
    }
    out.fill(scale, 192, 208);
    out.writeUInt16LE(halfPower(exponent - Math.log2(scale)), 208);
    return codes;
  },
};

/** Blocks made once; matrices repeat them, because speed does not depend on the values. */
const poolValues = 1 << 18;

/** Random rows of a format, each also as the bf16 values that it stands for: exactly the same numbers. */
export class RandomRows {
  readonly packedBytes: number;
  readonly #packed: Buffer;
  readonly #bf16: Buffer;
  readonly #columns: number;
  readonly #format: Format;
  readonly #starts: number;

  /** @param columns a multiple of the format's block */
  constructor(format: Format, columns: number, seed: number) {
    if (columns % format.blockValues !== 0) throw new RangeError(`${columns} columns are no whole blocks`);
    this.#format = format;
    this.#columns = columns;
    this.packedBytes = (columns / format.blockValues) * format.blockBytes;
    const blocks = Math.ceil((poolValues + columns) / format.blockValues);
    this.#starts = Math.floor(poolValues / format.blockValues);
    this.#packed = Buffer.alloc(blocks * format.blockBytes);
    this.#bf16 = Buffer.alloc(blocks * format.blockValues * 2);
    const exponent = -Math.round(Math.log2((Math.sqrt(columns) * format.codeDeviation) / 0.7));
    const random = new Random(seed);
    for (let block = 0; block < blocks; block++) {
      const at = block * format.blockBytes;
      const codes = format.randomBlock(random, exponent, this.#packed.subarray(at, at + format.blockBytes));
      codes.forEach((code, i) =>
        this.#bf16.writeUInt16LE(exactBf16(code * 2 ** exponent), (block * format.blockValues + i) * 2),
      );
    }
  }

  packed(row: number): Buffer {
    const at = this.#start(row) * this.#format.blockBytes;
    return this.#packed.subarray(at, at + this.packedBytes);
  }

  bf16(row: number): Buffer {
    const at = this.#start(row) * this.#format.blockValues * 2;
    return this.#bf16.subarray(at, at + this.#columns * 2);
  }

  /** The first block of a row: rows start all over the pool, so that neighbours differ. */
  #start(row: number): number {
    return (row * 7919) % this.#starts;
  }
}
