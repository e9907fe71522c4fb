import { Polygraft } from "@polygraft/client";
import type { GenerateRequest, GenerationResult } from "@polygraft/client";

/** All of a stream that must not depend on what happens to workers. */
export interface StreamOutput {
  readonly text: string;
  readonly tokenIds: readonly number[];
  readonly logprobs: readonly number[];
}

/** Streams of a run, by their number. A failed one is its message. */
export type StreamResults = readonly (StreamOutput | string)[];

/** How two runs of the same requests compare. */
export interface Comparison {
  readonly identical: number;
  /** Ended without an error, but not with the same output. */
  readonly different: number;
  readonly failed: number;
  /** Tokens that are missing, or that nobody should have sent, in all streams that did not fail. */
  readonly tokensLost: number;
  readonly tokensDoubled: number;
  /** What the first failures said. */
  readonly messages: readonly string[];
}

/** The nth request: an adapter in turn, or the base; every second one sampled, every fifth one with a penalty. */
export function requestOf(number: number, adapters: readonly string[], maxTokens: number): GenerateRequest {
  const adapter = adapters[number % (adapters.length + 1)];
  return {
    prompt: Array.from({ length: 4 + ((number * 7) % 60) }, (_, position) => 10 + ((number * 31 + position * 17) % 3000)),
    ...(adapter === undefined ? {} : { adapter }),
    maxTokens,
    ignoreEos: true,
    logprobs: true,
    ...(number % 2 === 0 ? {} : { temperature: 0.9, seed: number }),
    ...(number % 5 === 0 ? { repetitionPenalty: 1.2 } : {}),
  };
}

/** Runs `count` streams, at most `atOnce` at a time, and tells of each one that has ended. */
export async function runStreams(
  address: string,
  { count, atOnce, requests, direct = false, onEnd, onResult }: {
    readonly count: number;
    readonly atOnce: number;
    readonly requests: (number: number) => GenerateRequest;
    /** Streams come straight from the workers. Default: false. */
    readonly direct?: boolean;
    readonly onEnd?: (ended: number) => void;
    /** Sees each stream that ended without an error. */
    readonly onResult?: (result: GenerationResult) => void;
  },
): Promise<StreamResults> {
  await using client = new Polygraft({ address, direct, retry: { maxRetries: 0 } });
  const results: (StreamOutput | string)[] = [];
  let next = 0;
  let ended = 0;
  const runner = async () => {
    while (next < count) {
      const number = next++;
      results[number] = await client
        .generate(requests(number))
        .final()
        .then(
          (result) => {
            onResult?.(result);
            const { text, tokenIds, logprobs } = result;
            return { text, tokenIds, logprobs: logprobs.map(({ logprob }) => logprob) };
          },
          (error: Error) => error.message,
        );
      onEnd?.(++ended);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, runner));
  return results;
}

/** Compares a run with an undisturbed one. */
export function compare(undisturbed: StreamResults, disturbed: StreamResults): Comparison {
  const found = { identical: 0, different: 0, failed: 0, tokensLost: 0, tokensDoubled: 0, messages: [] as string[] };
  for (const [number, expected] of undisturbed.entries()) {
    const got = disturbed[number];
    if (typeof expected === "string") throw new Error(`an undisturbed stream failed: ${expected}`);
    if (got === undefined || typeof got === "string") {
      found.failed += 1;
      if (found.messages.length < 10) found.messages.push(got ?? "never ended");
      continue;
    }
    if (JSON.stringify(got) === JSON.stringify(expected)) found.identical += 1;
    else found.different += 1;
    found.tokensLost += Math.max(0, expected.tokenIds.length - got.tokenIds.length);
    found.tokensDoubled += Math.max(0, got.tokenIds.length - expected.tokenIds.length);
  }
  return found;
}
