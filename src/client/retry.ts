import { setTimeout as wait } from "node:timers/promises";
import type { PolygraftError } from "./error.js";

/** When a failed attempt is repeated, or its rest asked for: never beyond the deadline. */
export interface RetryOptions {
  /**
   * Most repetitions in a row that bring no further output, those by routers included. Default: 2. All of a client are
   * also bounded by a share of its requests that succeed.
   */
  readonly maxRetries?: number;
  /** Wait before the first repetition, in milliseconds, doubled for each further one. Default: 100. */
  readonly initialBackoffMs?: number;
  /** Longest wait between attempts, in milliseconds. A server that asks for more is not asked again. Default: 5,000. */
  readonly maxBackoffMs?: number;
}

/** A full set of retry options. */
export type RetryPolicy = Required<RetryOptions>;

/** Fills in the defaults. */
export function retryPolicy(...layers: readonly (RetryOptions | false | undefined)[]): RetryPolicy {
  const policy = { maxRetries: 2, initialBackoffMs: 100, maxBackoffMs: 5_000 };
  for (const layer of layers) Object.assign(policy, layer === false ? { maxRetries: 0 } : layer);
  return policy;
}

/**
 * How long to wait before trying again, in milliseconds; undefined: do not.
 * The wait is drawn evenly from the upper half of an exponential backoff, so that clients that failed together do not
 * return together, and is never less than the server asked for.
 *
 * @param retries repetitions so far
 * @param remainingMs time left until the deadline
 * @param random a number from 0 up to 1
 */
export function retryDelayMs(
  policy: RetryPolicy,
  failure: PolygraftError,
  retries: number,
  remainingMs: number,
  random: number,
): number | undefined {
  // Whoever asked for ON_MISS_FAIL wants to hear of the miss, not to wait for the adapter.
  if (!mayRepeat(failure) || failure.code === "ADAPTER_NOT_READY" || retries >= policy.maxRetries) return undefined;
  const pushback = failure.retryAfterMs ?? 0;
  if (pushback > policy.maxBackoffMs) return undefined;
  const backoff = Math.min(policy.initialBackoffMs * 2 ** retries, policy.maxBackoffMs);
  const delay = Math.max(pushback, backoff * (0.5 + random / 2));
  return delay < remainingMs ? delay : undefined;
}

/**
 * Whether another attempt may do better: the server says so, or it broke off without a word, which gRPC calls CANCELLED
 * when a server shuts down. A call that its own caller cancelled must not be asked about.
 */
export function mayRepeat({ retryable, code }: PolygraftError): boolean {
  return retryable || code === "INCOMPLETE_STREAM" || code === "CANCELLED";
}

/** Waits; rejects at once when `signal` is aborted. */
export async function sleep(milliseconds: number, signal: AbortSignal): Promise<void> {
  await wait(milliseconds, undefined, { signal });
}
