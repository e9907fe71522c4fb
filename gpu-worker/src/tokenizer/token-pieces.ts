/**
 * What one token adds to the output: text if it is whole characters by itself, bytes if a character can cross its
 * borders.
 */
export type TokenPiece = string | Uint8Array;

/** Text and bytes of each token of a vocabulary. */
export interface TokenPieces {
  /** What a token adds. Empty for special tokens and for ids that the tokenizer does not know. */
  piece(id: number): TokenPiece;
  /** A token's piece even if it is special, for `include_stop`. */
  spelled(id: number): TokenPiece;
  /** Whether a token steers the model rather than being text: "<s>", "<|im_end|>". */
  isSpecial(id: number): boolean;
  /** Spaces that the decoder strips from the beginning of a text: SentencePiece marks words by a space before. */
  readonly leadingSpaces: number;
}

/** How the tokenizer's decoder turns the spelling of one token into its piece. */
export interface PieceDecoder {
  readonly decode: (token: string) => TokenPiece;
  readonly leadingSpaces: number;
}

/** A token of the vocabulary as tokenizer.json spells it. */
export interface VocabularyEntry {
  readonly id: number;
  readonly content: string;
  readonly special: boolean;
}

/** Builds the table of pieces. Pieces are decoded when first asked for: start-up stays independent of the vocabulary. */
export function createTokenPieces(entries: Iterable<VocabularyEntry>, decoder: PieceDecoder): TokenPieces {
  const contents: string[] = [];
  const special = new Set<number>();
  for (const entry of entries) {
    contents[entry.id] = entry.content;
    if (entry.special) special.add(entry.id);
  }
  const decoded: TokenPiece[] = [];
  const spelled = (id: number): TokenPiece => {
    const content = contents[id];
    if (content === undefined) return "";
    return (decoded[id] ??= special.has(id) ? content : decoder.decode(content));
  };
  return {
    piece: (id) => (special.has(id) ? "" : spelled(id)),
    spelled,
    isSpecial: (id) => special.has(id),
    leadingSpaces: decoder.leadingSpaces,
  };
}
