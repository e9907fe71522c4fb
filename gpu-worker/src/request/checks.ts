import { invalidFields, type Violation } from "../failure.js";

/** A range of numbers, as the contract states it. */
export interface Range {
  readonly min: number;
  readonly max: number;
  /** The lowest value itself is outside. */
  readonly above?: true;
}

/** Collects what is wrong with a request, so that the caller hears of all of it at once. */
export class Checks {
  private readonly violations: Violation[] = [];

  /** Notes a violation unless `ok`. */
  require(ok: boolean, field: string, description: string): void {
    if (!ok) this.violations.push({ field, description });
  }

  /** An optional number, or `fallback` where it is absent. */
  number(field: string, value: number | undefined, { min, max, above }: Range, fallback: number): number {
    if (value === undefined) return fallback;
    // NaN is in no range.
    const ok = value <= max && (above ? value > min : value >= min);
    this.require(ok, field, `is ${value}; allowed is ${above ? `above ${min}` : `${min}`} to ${max}`);
    return value;
  }

  /** An optional text of so many bytes in UTF-8; empty where it is absent. */
  bytes(field: string, text: string | undefined, most: number): string {
    const bytes = Buffer.byteLength(text ?? "");
    this.require(bytes <= most, field, `has ${bytes} bytes; at most ${most} are allowed`);
    return text ?? "";
  }

  /** Most entries of a list. */
  count(field: string, list: readonly unknown[], most: number): void {
    this.require(list.length <= most, field, `has ${list.length} entries; at most ${most} are allowed`);
  }

  /** Token ids of the vocabulary. Names the first that is not. */
  tokens(field: string, ids: readonly number[], vocabulary: number): void {
    const unknown = ids.find((id) => id >= vocabulary);
    this.require(unknown === undefined, field, `holds token ${unknown}; the vocabulary has ${vocabulary}`);
  }

  /** Throws if anything is wrong. */
  done(): void {
    if (this.violations.length > 0) throw invalidFields(this.violations);
  }
}
