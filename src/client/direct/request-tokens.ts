import type { GenerateRequest } from "@polygraft/api";

/** The contract's default of `max_tokens`. */
const defaultMaxTokens = 256;

/** Bytes of text that make about one token. Good enough to compare loads. */
const bytesPerToken = 4;

/** About how many tokens a request can need: prompt, and the output that it allows. Routers estimate in the same way. */
export function requestTokens({ prompt, stopping }: GenerateRequest): number {
  return promptTokens(prompt) + (stopping?.maxTokens ?? defaultMaxTokens);
}

function promptTokens(prompt: GenerateRequest["prompt"]): number {
  switch (prompt?.$case) {
    case "text":
      return tokensOf(prompt.value);
    case "tokenIds":
      return prompt.value.ids.length;
    case "chat":
      return prompt.value.messages.reduce((sum, { content }) => sum + tokensOf(content), 0);
    case undefined:
      return 0;
  }
}

function tokensOf(text: string): number {
  return Math.ceil(Buffer.byteLength(text) / bytesPerToken);
}
