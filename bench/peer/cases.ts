import type { ShapeName } from "./shapes.js";

/** What a driver is asked to do; see `drivers/protocol.h`. */
export interface Setup {
  readonly kind: "decode" | "prefill" | "serve";
  readonly streams: number;
  /** Tokens behind a decoding stream, or of a prompt. */
  readonly context: number;
  /** Distinct adapters that streams use in turn; 0: the base alone. */
  readonly adapters: number;
  /** Of the streams, how many at the end use the base all the same. Default: 0. */
  readonly bases?: number;
  /** Output tokens of each stream in one measurement. */
  readonly tokens: number;
}

/** A row of the table. */
export interface BenchCase {
  readonly id: string;
  readonly title: string;
  readonly setup: Setup;
  /** Whom polygraft is measured against. */
  readonly against: Rival;
  /** Least ratio polygraft / best rival; absent: only shown. */
  readonly targets: Partial<Readonly<Record<ShapeName, number>>>;
}

/**
 * Other programs; polygraft without adapters (the LoRA tax), or that and polygraft with an adapter in every stream (a base
 * stream's share of it); or polygraft's engine alone, where the row is of the whole path from client to engine.
 */
export type Rival = "peers" | "base" | "base and adapters" | "engine";

export const cases: readonly BenchCase[] = [
  decode(1, 128, 0, { "135m": 1.1, "1.1b": 1.0 }),
  decode(1, 1024, 0, { "135m": 1.8, "1.1b": 1.2 }),
  decode(8, 128, 0, { "135m": 2.5, "1.1b": 2 }),
  decode(8, 1024, 0, { "135m": 3, "1.1b": 2 }),
  decode(32, 128, 0, { "135m": 3, "1.1b": 2.5 }),
  decode(32, 1024, 0, { "135m": 2.5 }),
  decode(8, 128, 8, { "135m": 10, "1.1b": 6 }),
  prefill(1, 512, 0, { "135m": 1.3, "1.1b": 1.3 }),
  prefill(8, 512, 8, { "135m": 15, "1.1b": 10 }),
  prefill(8, 64, 8, {}),
  tax(decode(32, 128, 8, {}), { "1.1b": 0.8 }),
  tax(prefill(8, 512, 8, {}), { "135m": 0.85, "1.1b": 0.85 }),
  share(8, 128),
  {
    id: "path-32",
    title: "whole path / engine, 32 streams of 32 + 128 tokens",
    setup: { kind: "serve", streams: 32, context: 32, adapters: 0, tokens: 128 },
    against: "engine",
    targets: { "135m": 0.9, "1.1b": 0.9 },
  },
];

function decode(streams: number, context: number, adapters: number, targets: BenchCase["targets"]): BenchCase {
  return {
    id: `decode-${streams}-${context}${adapters === 0 ? "" : `-lora${adapters}`}`,
    title: `decode, ${count(streams, "stream")}, context ${context}${adapters === 0 ? "" : `, ${adapters} adapters`}`,
    // Long enough to measure, short enough for the context to stay about what it says.
    setup: { kind: "decode", streams, context, adapters, tokens: streams === 1 ? 32 : 16 },
    against: "peers",
    targets,
  };
}

function prefill(streams: number, context: number, adapters: number, targets: BenchCase["targets"]): BenchCase {
  return {
    id: `prefill-${streams === 1 ? "" : `${streams}x`}${context}${adapters === 0 ? "" : `-lora${adapters}`}`,
    title: `prefill ${streams === 1 ? "" : `${streams} × `}${context}${adapters === 0 ? "" : `, ${adapters} adapters`}`,
    setup: { kind: "prefill", streams, context, adapters, tokens: 1 },
    against: "peers",
    targets,
  };
}

function tax(of: BenchCase, targets: BenchCase["targets"]): BenchCase {
  return { ...of, id: `tax-${of.id}`, title: `LoRA tax: ${of.title} / base`, against: "base", targets };
}

/** One stream of the base among streams that each have an adapter of their own. */
function share(streams: number, context: number): BenchCase {
  const { setup } = decode(streams, context, streams - 1, {});
  return {
    id: `share-decode-${streams}-${context}`,
    title: `a base stream's share: decode, 1 base + ${streams - 1} adapters, context ${context} / base`,
    setup: { ...setup, bases: 1 },
    against: "base and adapters",
    targets: {},
  };
}

function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? "" : "s"}`;
}

/** The cases whose ids match one of some patterns, in which `*` stands for anything. */
export function selectCases(patterns: readonly string[]): BenchCase[] {
  const expressions = patterns.map((pattern) => {
    const source = pattern.split("*").map((part) => part.replace(/[^\w-]/g, "\\$&")).join(".*");
    const expression = new RegExp(`^${source}$`);
    if (cases.some(({ id }) => expression.test(id))) return expression;
    throw new RangeError(`no case matches "${pattern}"; there are ${cases.map(({ id }) => id).join(", ")}`);
  });
  return cases.filter(({ id }) => expressions.some((expression) => expression.test(id)));
}
