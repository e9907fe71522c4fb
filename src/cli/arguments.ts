import { InvalidArgumentError } from "commander";

/** Parses an integer within a range. */
export function integer(least: number, most: number = Number.MAX_SAFE_INTEGER): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^-?\d+$/.test(text) || value < least || value > most) {
      const range = most === Number.MAX_SAFE_INTEGER ? `of ${least} or more` : `from ${least} to ${most}`;
      throw new InvalidArgumentError(`It must be an integer ${range}.`);
    }
    return value;
  };
}

/** Parses one of some numbers. */
export function oneOf<N extends number>(...allowed: readonly N[]): (text: string) => N {
  return (text) => {
    const value = allowed.find((it) => String(it) === text);
    if (value === undefined) throw new InvalidArgumentError(`It must be one of ${allowed.join(", ")}.`);
    return value;
  };
}

/** Parses a number within a range. */
export function decimal(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (text.trim() === "" || !(value >= least && value <= most)) {
      throw new InvalidArgumentError(`It must be a number from ${least} to ${most}.`);
    }
    return value;
  };
}

/** Parses an unsigned integer of 64 bits. */
export function seed(text: string): bigint {
  if (!/^\d{1,20}$/.test(text) || BigInt(text) >= 1n << 64n) {
    throw new InvalidArgumentError("It must be an integer from 0 to 18446744073709551615.");
  }
  return BigInt(text);
}

/** Parses "host:port". Port 0 means a free one. */
export function hostPort(text: string): string {
  const match = /^(\[[0-9a-fA-F:.]+\]|[^:\s/]+):(\d{1,5})$/.exec(text);
  if (match === null || Number(match[2]) > 65_535) {
    throw new InvalidArgumentError('It must be "host:port", such as 127.0.0.1:50051. Port 0 takes a free one.');
  }
  return text;
}

/** Parses "host:port" or "https://host:port" (TLS). */
export function routerAddress(text: string): string {
  const scheme = /^https?:\/\//.exec(text)?.[0] ?? "";
  return scheme + hostPort(text.slice(scheme.length));
}

/** Parses several of those, with commas between. */
export function routerAddresses(text: string): string {
  return text.split(",").map(routerAddress).join(",");
}

/** Parses a size in bytes: a number with an optional suffix K, M, G or T, each 1024 times the one before. */
export function byteSize(text: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?$/i.exec(text.trim());
  if (match === null) throw new InvalidArgumentError("It must be a size such as 512M or 2G.");
  const power = "KMGT".indexOf((match[2] ?? "").toUpperCase() || "?") + 1;
  return Math.floor(Number(match[1]) * 1024 ** power);
}

/** Parses a comma-separated list of integers. */
export function integers(least: number, most: number): (text: string) => number[] {
  const parse = integer(least, most);
  return (text) => text.split(",").map((part) => parse(part.trim()));
}

/** Collects an option that may be given several times. */
export function repeated<T>(parse: (text: string) => T): (text: string, previous: readonly T[] | undefined) => T[] {
  return (text, previous) => [...(previous ?? []), parse(text)];
}
