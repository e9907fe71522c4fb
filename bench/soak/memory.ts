import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";

/** A process's resident bytes at a time. */
export interface Sample {
  /** Milliseconds since the start. */
  readonly at: number;
  readonly bytes: number;
}

/** Resident bytes of a process. */
export function residentBytes(pid: number): number {
  if (process.platform !== "linux") return Number(execFileSync("ps", ["-o", "rss=", "-p", String(pid)], { encoding: "utf8" })) * 1024;
  const kilobytes = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
  if (kilobytes === undefined) throw new Error(`process ${pid} has ended`);
  return Number(kilobytes) * 1024;
}

/** Part of a run that counts as warm-up: caches fill, and runtimes find their size. */
const warmUp = 0.4;
/** Parts at the beginning and at the end of the rest that are compared. */
const compared = 0.3;

/** How much memory a process came to have. */
export interface Growth {
  /** Medians over the first and the last part after the warm-up. */
  readonly first: number;
  readonly last: number;
  /** Most at any time. */
  readonly peak: number;
}

/** Compares the end of a run with its beginning. Collections of garbage come and go: medians look past them. */
export function growth(samples: readonly Sample[]): Growth {
  const end = samples.at(-1)?.at ?? 0;
  const rest = samples.filter(({ at }) => at >= warmUp * end);
  const span = (1 - warmUp) * compared * end;
  return {
    first: median(rest.filter(({ at }) => at <= warmUp * end + span)),
    last: median(rest.filter(({ at }) => at >= end - span)),
    peak: Math.max(...samples.map(({ bytes }) => bytes)),
  };
}

function median(samples: readonly Sample[]): number {
  const sorted = samples.map(({ bytes }) => bytes).sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}
