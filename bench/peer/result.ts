import type { BenchCase } from "./cases.js";
import type { ShapeName } from "./shapes.js";

/** A measured row, as `--json` prints it. Speeds are medians over the rounds, in tokens per second. */
export interface Result {
  readonly case: string;
  readonly title: string;
  readonly shape: ShapeName;
  /** A busy process ran beside. */
  readonly neighbour: boolean;
  readonly rounds: number;
  readonly ours: number;
  /** The best rival's, and its name; null if no rival can do this. */
  readonly peer: number | null;
  readonly peerName: string | null;
  /** ours / peer. */
  readonly ratio: number | null;
  readonly target: number | null;
  /** Null without a target or without a rival. */
  readonly met: boolean | null;
  /** All rivals. */
  readonly peers: Readonly<Record<string, number>>;
  /** How they ran, or why they could not. */
  readonly notes: Readonly<Record<string, string>>;
}

/** What a contender did in a case. */
export interface Outcome {
  readonly name: string;
  /** Tokens per second of each round; none if it cannot do this. */
  readonly speeds: readonly number[];
  readonly note: string;
}

/** Makes a row of what was measured; the first outcome is polygraft's. */
export function resultOf(
  { id, title, targets }: BenchCase,
  shape: ShapeName,
  neighbour: boolean,
  [own, ...rivals]: readonly [Outcome, ...Outcome[]],
): Result {
  const ours = median(own.speeds);
  const measured = rivals
    .filter(({ speeds }) => speeds.length > 0)
    .map(({ name, speeds }) => ({ name, speed: median(speeds) }))
    .sort((a, b) => b.speed - a.speed);
  const best = measured[0];
  const ratio = best === undefined ? null : ours / best.speed;
  const target = targets[shape] ?? null;
  return {
    case: id,
    title,
    shape,
    neighbour,
    rounds: own.speeds.length,
    ours: rounded(ours),
    peer: best === undefined ? null : rounded(best.speed),
    peerName: best?.name ?? null,
    ratio: ratio === null ? null : rounded(ratio),
    target,
    met: ratio === null || target === null ? null : ratio >= target,
    peers: Object.fromEntries(measured.map(({ name, speed }) => [name, rounded(speed)])),
    notes: Object.fromEntries([own, ...rivals].filter(({ note }) => note !== "").map(({ name, note }) => [name, note])),
  };
}

/** The middle of some numbers; of an even count the mean of the two in the middle. NaN if there are none. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length / 2;
  return ((sorted[Math.ceil(middle) - 1] ?? NaN) + (sorted[Math.floor(middle)] ?? NaN)) / 2;
}

/** Four digits are more than a measurement has. */
function rounded(value: number): number {
  return Number(value.toPrecision(4));
}
