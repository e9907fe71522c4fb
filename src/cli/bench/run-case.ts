import type { Polygraft } from "@polygraft/client";
import { median } from "./statistics.js";

/** One combination to measure. */
export interface BenchCase {
  /** Requests at once. */
  readonly streams: number;
  /** Adapters in turn; empty: the base alone. */
  readonly adapters: readonly string[];
  readonly promptTokens: number;
  readonly outputTokens: number;
  /** Prompts are drawn from token ids below it. */
  readonly vocabularySize: number;
}

/** What one run of a case took. */
export interface BenchRun {
  /** Output tokens of all streams over the time from the first request to the last token. */
  readonly tokensPerSecond: number;
  /** Median over the streams, in milliseconds. */
  readonly firstTokenMs: number;
  /** Median over the streams of their mean time between tokens, in milliseconds. */
  readonly interTokenMs: number;
}

/** Runs a case once: all requests leave together, and all generate their full length. */
export async function runCase(client: Polygraft, bench: BenchCase, run: number, signal: AbortSignal): Promise<BenchRun> {
  const start = performance.now();
  const streams = await Promise.all(
    Array.from({ length: bench.streams }, (_, index) => runStream(client, bench, run * bench.streams + index, signal)),
  );
  const seconds = (performance.now() - start) / 1000;
  const tokens = streams.reduce((sum, stream) => sum + stream.tokens, 0);
  return {
    tokensPerSecond: tokens / seconds,
    firstTokenMs: median(streams.map(({ firstTokenMs }) => firstTokenMs)),
    interTokenMs: median(streams.map(({ interTokenMs }) => interTokenMs)),
  };
}

async function runStream(
  client: Polygraft,
  bench: BenchCase,
  number: number,
  signal: AbortSignal,
): Promise<{ tokens: number; firstTokenMs: number; interTokenMs: number }> {
  const adapter = bench.adapters[number % bench.adapters.length];
  const { usage, timings } = await client
    .generate(
      {
        prompt: promptOf(bench, number),
        maxTokens: bench.outputTokens,
        ignoreEos: true,
        cache: { bypass: true },
        ...(adapter === undefined ? {} : { adapter }),
      },
      { signal },
    )
    .final();
  const tokens = usage.outputTokens;
  return {
    tokens,
    firstTokenMs: timings.firstTokenMs,
    interTokenMs: (timings.totalMs - timings.firstTokenMs) / Math.max(1, tokens - 1),
  };
}

/** Token ids that differ from stream to stream and are the same in every run of the benchmark. */
function promptOf({ promptTokens, vocabularySize }: BenchCase, number: number): number[] {
  let state = (number + 1) * 0x9e3779b1;
  return Array.from({ length: promptTokens }, () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * vocabularySize);
  });
}
