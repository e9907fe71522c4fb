import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { basename } from "node:path";

/** A metadata value that is kept: arrays of strings and of numbers, scalars as they are. */
export type GgufValue = string | number | boolean | readonly string[] | readonly number[];

const MAX_ENTRIES = 65_536;
const MAX_KEY_BYTES = 512;
const MAX_TEXT_BYTES = 16 * 1024 * 1024;
const MAX_ELEMENTS = 2 ** 24;
const WINDOW_BYTES = 4 * 1024 * 1024;

const STRING = 8;
const ARRAY = 9;
/** Bytes and reader of each scalar type, by the format's numbers. */
const SCALARS: Readonly<Record<number, readonly [number, (bytes: Buffer, at: number) => number | boolean]>> = {
  0: [1, (b, at) => b.readUInt8(at)],
  1: [1, (b, at) => b.readInt8(at)],
  2: [2, (b, at) => b.readUInt16LE(at)],
  3: [2, (b, at) => b.readInt16LE(at)],
  4: [4, (b, at) => b.readUInt32LE(at)],
  5: [4, (b, at) => b.readInt32LE(at)],
  6: [4, (b, at) => b.readFloatLE(at)],
  7: [1, (b, at) => b.readUInt8(at) !== 0],
  10: [8, (b, at) => Number(b.readBigUInt64LE(at))],
  11: [8, (b, at) => Number(b.readBigInt64LE(at))],
  12: [8, (b, at) => b.readDoubleLE(at)],
};

/**
 * Reads the metadata of a GGUF file whose keys `wanted` accepts; the others are passed over. Every length is checked
 * against a limit and the file's end before room is made for it.
 * @throws Error naming the file and the key at fault.
 */
export function readGgufMetadata(path: string, wanted: (key: string) => boolean): Map<string, GgufValue> {
  const file = new Cursor(path);
  try {
    return readEntries(file, wanted);
  } finally {
    file.close();
  }
}

function readEntries(file: Cursor, wanted: (key: string) => boolean): Map<string, GgufValue> {
  if (file.bytes(4, "magic").toString("latin1") !== "GGUF") file.refuse("magic", "does not begin with GGUF");
  const version = file.scalar(4, "version");
  if (version !== 2 && version !== 3) file.refuse("version", `has GGUF version ${String(version)}; 2 and 3 are served`);
  file.skip(8, "tensor_count");
  const count = file.length("metadata_kv_count", MAX_ENTRIES);
  const entries = new Map<string, GgufValue>();
  for (let i = 0; i < count; i++) {
    const key = file.text("metadata", MAX_KEY_BYTES);
    const keep = wanted(key);
    const value = readValue(file, key, keep);
    if (keep) entries.set(key, value);
  }
  return entries;
}

function readValue(file: Cursor, key: string, keep: boolean): GgufValue {
  const type = file.scalar(4, key) as number;
  if (type === STRING) return file.text(key, MAX_TEXT_BYTES);
  if (type !== ARRAY) return file.scalar(type, key);
  const element = file.scalar(4, key) as number;
  if (element === ARRAY) file.refuse(key, "is an array of arrays, which no model needs");
  const count = file.length(key, MAX_ELEMENTS);
  const values: (string | number | boolean)[] = [];
  for (let i = 0; i < count; i++) {
    const value = element === STRING ? file.text(key, MAX_TEXT_BYTES) : file.scalar(element, key);
    if (keep) values.push(value);
  }
  return values as string[] | number[];
}

/** Reads forward through a file by way of a window of a few megabytes. */
class Cursor {
  private readonly name: string;
  private readonly file: number;
  private readonly size: number;
  private window = Buffer.alloc(0);
  private start = 0;
  private at = 0;

  constructor(path: string) {
    this.name = basename(path);
    this.file = openSync(path, "r");
    this.size = fstatSync(this.file).size;
  }

  close(): void {
    closeSync(this.file);
  }

  refuse(key: string, what: string): never {
    throw new Error(`${this.name}: ${key} ${what}`);
  }

  skip(count: number, key: string): void {
    this.bytes(count, key);
  }

  /** The next bytes; they stay valid until the next call. */
  bytes(count: number, key: string): Buffer {
    if (count > this.size - this.start - this.at) {
      this.refuse(key, `is truncated: ${count} bytes wanted at offset ${this.start + this.at}, the file has ${this.size}`);
    }
    if (this.at + count > this.window.length) this.fill(count, key);
    const found = this.window.subarray(this.at, this.at + count);
    this.at += count;
    return found;
  }

  scalar(type: number, key: string): number | boolean {
    const scalar = SCALARS[type];
    if (!scalar) this.refuse(key, `has type ${type}, which GGUF does not define`);
    return scalar[1](this.bytes(scalar[0], key), 0);
  }

  length(key: string, limit: number): number {
    const count = this.scalar(10, key) as number;
    if (count > limit) this.refuse(key, `claims ${count} entries or bytes; the limit is ${limit}`);
    return count;
  }

  text(key: string, limit: number): string {
    return this.bytes(this.length(key, limit), key).toString("utf8");
  }

  private fill(count: number, key: string): void {
    this.start += this.at;
    this.at = 0;
    const window = Buffer.alloc(Math.min(Math.max(WINDOW_BYTES, count), this.size - this.start));
    let held = 0;
    while (held < window.length) {
      const got = readSync(this.file, window, held, window.length - held, this.start + held);
      if (got === 0) this.refuse(key, "is truncated: the file became shorter while it was read");
      held += got;
    }
    this.window = window;
  }
}
