import { Detokenizer } from "./detokenizer.js";
import { StopMatcher } from "./stop-matcher.js";
import type { TokenPieces } from "./token-pieces.js";

/** How output tokens become text. */
export interface OutputTextOptions {
  /** Whether text stands before the output. See `Detokenizer`. */
  readonly continues: boolean;
  /** Texts that end the output. */
  readonly stopTexts: readonly string[];
  /** Tokens before which no stop text counts. */
  readonly minTokens: number;
  /** Gives out the stop text or stop token as well. */
  readonly includeStop: boolean;
}

/** The output of one request as text: detokenized, and cut before the first stop text. */
export class OutputText {
  private readonly detokenizer: Detokenizer;
  private readonly matcher: StopMatcher | undefined;
  private readonly options: OutputTextOptions;
  private tokens = 0;
  private stopped: string | undefined;

  constructor(pieces: TokenPieces, options: OutputTextOptions) {
    this.detokenizer = new Detokenizer(pieces, options.continues);
    this.matcher = options.stopTexts.length > 0 ? new StopMatcher(options.stopTexts) : undefined;
    this.options = options;
  }

  /** The stop text that was found. The output ends with it. */
  get stopText(): string | undefined {
    return this.stopped;
  }

  /** Takes the next token, and gives out text that is final: whole characters that cannot become a stop text. */
  push(id: number): string {
    this.tokens++;
    return this.match(this.detokenizer.push(id));
  }

  /** Gives out the rest. `stopToken` is the token that ended the output, if one did. */
  end(stopToken?: number): string {
    const spelled = this.options.includeStop ? stopToken : undefined;
    const text = this.match(this.detokenizer.end(spelled));
    return this.stopped === undefined && this.matcher ? text + this.matcher.end() : text;
  }

  private match(text: string): string {
    if (!this.matcher) return text;
    const found = this.matcher.push(text, this.tokens >= this.options.minTokens);
    this.stopped = found.stop;
    return found.stop !== undefined && this.options.includeStop ? found.text + found.stop : found.text;
  }
}
