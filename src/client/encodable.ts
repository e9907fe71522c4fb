import { PolygraftError } from "./error.js";

/** Passes undefined on, and turns a check of one value into one of an optional value. */
type Check<T, R> = {
  (field: string, value: T): R;
  (field: string, value: T | undefined): R | undefined;
};

/** An integer from 0 to 2^32 - 1. */
export const uint32: Check<number, number> = integer("an integer from 0 to 4294967295", 0, 2 ** 32 - 1);

/** An integer from -2^31 to 2^31 - 1. */
export const int32: Check<number, number> = integer("an integer from -2147483648 to 2147483647", -(2 ** 31), 2 ** 31 - 1);

/** Any number, infinities and NaN excepted: JSON and logs could not say them. */
export const float: Check<number, number> = optional((field, value: number) => {
  if (typeof value !== "number" || !Number.isFinite(value)) refuse(field, "a finite number", value);
  return value;
});

/** An integer from 0 to 2^64 - 1. Beyond 2^53 it must be a bigint, because a number would have lost digits. */
export const uint64: Check<number | bigint, bigint> = optional((field, value: number | bigint) => {
  const exact = typeof value === "bigint" || Number.isSafeInteger(value);
  if (!exact || BigInt(value) < 0n || BigInt(value) >= 1n << 64n) {
    refuse(field, "an integer from 0 to 2^64 - 1 (a bigint above 2^53)", value);
  }
  return BigInt(value);
});

/** A string. */
export const text: Check<string, string> = optional((field, value: string) => {
  if (typeof value !== "string") refuse(field, "a string", value);
  return value;
});

/** A list, each entry checked and named by its position. Absent: empty. */
export function list<T, R>(field: string, check: Check<T, R>, values: ArrayLike<T> | undefined): R[] {
  return Array.from(values ?? [], (value, index) => check(`${field}[${index}]`, value));
}

function integer(expected: string, least: number, most: number): Check<number, number> {
  return optional((field, value: number) => {
    if (!Number.isInteger(value) || value < least || value > most) refuse(field, expected, value);
    return value;
  });
}

function optional<T, R>(check: (field: string, value: T) => R): Check<T, R> {
  return ((field: string, value: T | undefined) => (value === undefined ? undefined : check(field, value))) as Check<T, R>;
}

function refuse(field: string, expected: string, value: unknown): never {
  throw new PolygraftError(`${field} must be ${expected}, not ${String(value)}`, {
    code: "INVALID_REQUEST",
    status: "INVALID_ARGUMENT",
    fields: [{ field, description: `must be ${expected}` }],
  });
}
