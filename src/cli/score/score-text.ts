import { PolygraftError } from "@polygraft/client";
import type { Polygraft } from "@polygraft/client";
import { cutWindow } from "./cut-window.js";

/** A token of a scored text. */
export interface ScoredToken {
  readonly id: number;
  /** Natural log-probability given the tokens before it; null for the first of a window, which has none before it. */
  readonly logprob: number | null;
}

/** How probable a text is. */
export interface TextScore {
  readonly tokens: readonly ScoredToken[];
  /** Tokens that have a log-probability. */
  readonly scoredTokens: number;
  /** Negative log-likelihood of all of them, in nats. */
  readonly nll: number;
  /** The same per token. */
  readonly meanNll: number;
  /** e to the power of `meanNll`. */
  readonly perplexity: number;
  /** Parts that the text was scored in. */
  readonly windows: number;
}

/** How to score. */
export interface ScoreOptions {
  /** Default: the base model alone. */
  readonly adapter?: string | undefined;
  /** Tokens of context, if known. Without it the size of a window is found by trying. */
  readonly contextLength?: number | undefined;
  readonly signal: AbortSignal;
  /** Told after each window how many characters are done. */
  readonly onProgress?: (characters: number) => void;
}

/**
 * Scores a text by teacher forcing: the server computes the log-probability of each token given the true ones before it
 * and generates nothing. A text longer than the context is cut at spaces into windows that fit, each scored by itself.
 */
export async function scoreText(client: Polygraft, text: string, options: ScoreOptions): Promise<TextScore> {
  const { adapter, contextLength, signal, onProgress } = options;
  const tokens: ScoredToken[] = [];
  let windows = 0;
  let position = 0;
  // English text has three to five characters a token; what turns out too long is tried again at half the length.
  let characters = (contextLength ?? 2048) * 4;
  while (position < text.length) {
    const window = cutWindow(text, position, characters);
    const scored = await scoreWindow(client, window, adapter, signal);
    if (scored === undefined) {
      characters = Math.floor(window.length / 2);
      if (characters === 0) throw new Error("the model's context cannot hold a single character of the text");
      continue;
    }
    for (const token of scored) tokens.push(token);
    windows += 1;
    position += window.length;
    onProgress?.(position);
    if (contextLength !== undefined) {
      characters = Math.max(1, Math.floor((window.length / scored.length) * contextLength * 0.95));
    }
  }
  return summarize(tokens, windows);
}

/** The tokens of one window; undefined if it is longer than the context. */
async function scoreWindow(
  client: Polygraft,
  prompt: string,
  adapter: string | undefined,
  signal: AbortSignal,
): Promise<ScoredToken[] | undefined> {
  const request = { prompt, maxTokens: 0, promptLogprobs: true, ...(adapter === undefined ? {} : { adapter }) };
  try {
    const { promptLogprobs } = await client.generate(request, { signal }).final();
    if (promptLogprobs.length === 0) throw new Error("the server sent no log-probabilities of the prompt");
    return promptLogprobs.map(({ tokenId, logprob }, index) => ({ id: tokenId, logprob: index === 0 ? null : logprob }));
  } catch (error) {
    if (error instanceof PolygraftError && error.code === "PROMPT_TOO_LONG") return undefined;
    throw error;
  }
}

function summarize(tokens: readonly ScoredToken[], windows: number): TextScore {
  let nll = 0;
  let scoredTokens = 0;
  for (const { logprob } of tokens) {
    if (logprob === null) continue;
    nll -= logprob;
    scoredTokens += 1;
  }
  if (scoredTokens === 0) throw new Error("the text has fewer than two tokens: there is nothing to score");
  const meanNll = nll / scoredTokens;
  return { tokens, scoredTokens, nll, meanNll, perplexity: Math.exp(meanNll), windows };
}
