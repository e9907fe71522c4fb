import { Tokenizer as HuggingFaceTokenizer } from "@huggingface/tokenizers";
import { ChatTemplate, type ChatTurn } from "./chat-template.js";
import { compileDecoder, type DecoderConfig } from "./piece-decoder.js";
import { createTokenPieces, type TokenPieces, type VocabularyEntry } from "./token-pieces.js";
import { readTokenizerFiles, type Json, type TokenizerFiles } from "./tokenizer-files.js";

/** What is used of the library: its own declarations do not resolve under NodeNext and would all be `any`. */
interface Encoder {
  encode(text: string, options?: { readonly add_special_tokens?: boolean }): { readonly ids: number[] };
  get_vocab(): Map<string | undefined, number>;
  get_added_tokens_decoder(): Map<number, { readonly special: boolean }>;
}

/** A model's tokenizer and chat template. */
export class Tokenizer {
  /** How output tokens become text. */
  readonly pieces: TokenPieces;
  /** Turns conversations into prompts. Absent if the model has no template. */
  readonly chatTemplate: ChatTemplate | undefined;
  private readonly encoder: Encoder;
  /** UTF-16 units of the longest token: no text of n units has fewer than n / longest tokens. */
  private readonly longestToken: number;

  private constructor({ tokenizer, config, chatTemplate }: TokenizerFiles) {
    this.encoder = new HuggingFaceTokenizer(tokenizer, config);
    const entries = vocabulary(this.encoder);
    this.longestToken = entries.reduce((longest, { content }) => Math.max(longest, content.length), 1);
    this.pieces = createTokenPieces(entries, compileDecoder(tokenizer["decoder"] as DecoderConfig | null));
    this.chatTemplate = chatTemplate === undefined ? undefined : new ChatTemplate(chatTemplate, specialTokens(config));
  }

  /** Reads tokenizer.json and what belongs to it from a model folder, or a GGUF file's tokenizer. */
  static async load(directory: string): Promise<Tokenizer> {
    return new Tokenizer(await readTokenizerFiles(directory));
  }

  /**
   * Token ids of a text, with what the tokenizer puts around it, such as a beginning-of-sequence token. Special tokens
   * spelled out in the text are read as such.
   */
  encode(text: string): number[] {
    return this.encoder.encode(text).ids;
  }

  /** Token ids of a rendered conversation: the template has put the special tokens already. */
  encodeRendered(text: string): number[] {
    return this.encoder.encode(text, { add_special_tokens: false }).ids;
  }

  /** A text of so many UTF-16 units has at least this many tokens: tells hopeless prompts without tokenizing them. */
  fewestTokens(units: number): number {
    return Math.ceil(units / this.longestToken);
  }

  /** The prompt text of a conversation. */
  render(messages: readonly ChatTurn[], addGenerationPrompt: boolean): string {
    if (!this.chatTemplate) throw new Error("the model has no chat template");
    return this.chatTemplate.render(messages, addGenerationPrompt);
  }
}

function vocabulary(encoder: Encoder): VocabularyEntry[] {
  const added = encoder.get_added_tokens_decoder();
  const entries: VocabularyEntry[] = [];
  for (const [content, id] of encoder.get_vocab()) {
    // Ids that no token has come as undefined.
    if (content !== undefined) entries.push({ id, content, special: added.get(id)?.special ?? false });
  }
  return entries;
}

/** Variables of the chat template: each `*_token` of tokenizer_config.json, given as a string or as an object. */
function specialTokens(config: Json): Record<string, string> {
  const tokens: Record<string, string> = {};
  for (const [key, value] of Object.entries(config)) {
    if (!key.endsWith("_token")) continue;
    const content = typeof value === "string" ? value : (value as { content?: unknown } | null)?.content;
    if (typeof content === "string") tokens[key] = content;
  }
  return tokens;
}
