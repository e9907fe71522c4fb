import { ThreadEncoder } from "./thread-encoder.js";
import type { Tokenizer } from "./tokenizer.js";

/** Texts up to this many UTF-16 units are tokenized at once: that takes less than the way to a thread and back. */
const INLINE_UNITS = 4096;

/** Tokenizes prompts without holding up the streams that run. */
export class PromptEncoder {
  readonly tokenizer: Tokenizer;
  private readonly thread: ThreadEncoder;

  /** `directory`: folder of the model, from which `tokenizer` was loaded. */
  constructor(tokenizer: Tokenizer, directory: string) {
    this.tokenizer = tokenizer;
    this.thread = new ThreadEncoder(directory);
  }

  /** Token ids of a text; `rendered` tells that a chat template has put the special tokens already. */
  async encode(text: string, rendered: boolean): Promise<ArrayLike<number>> {
    if (text.length > INLINE_UNITS) return this.thread.encode(text, rendered);
    return rendered ? this.tokenizer.encodeRendered(text) : this.tokenizer.encode(text);
  }

  /** Stops the thread, if it was started. */
  async close(): Promise<void> {
    await this.thread.close();
  }
}
