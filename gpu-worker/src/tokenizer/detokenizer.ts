import type { TokenPieces } from "./token-pieces.js";
import { decodeUtf8, unfinishedBytes } from "./utf8.js";

const NOTHING = new Uint8Array(0);

/**
 * Turns output tokens into text as they come, in constant time for each. Text is given out when its characters are
 * complete: an emoji that spans three tokens comes with the third. All text given out, joined, is the decoding of the
 * whole output; bytes that are no UTF-8 become U+FFFD.
 */
export class Detokenizer {
  private readonly pieces: TokenPieces;
  private leadingSpaces: number;
  private unfinished: Uint8Array = NOTHING;

  /**
   * `continues` tells that text stands before the output. Without it, the space is stripped that SentencePiece puts
   * before a first word.
   */
  constructor(pieces: TokenPieces, continues: boolean) {
    this.pieces = pieces;
    this.leadingSpaces = continues ? 0 : pieces.leadingSpaces;
  }

  /** The text that becomes certain with this token. */
  push(id: number): string {
    const piece = this.pieces.piece(id);
    if (piece.length === 0) return "";
    return this.withoutLeadingSpaces(typeof piece === "string" ? this.finish() + piece : this.join(piece));
  }

  /** The rest, when no more tokens follow. A token of `spelled` adds its text even if it is special. */
  end(spelled?: number): string {
    const last = spelled === undefined ? "" : this.pieces.spelled(spelled);
    const text = typeof last === "string" ? this.finish() + last : this.join(last) + this.finish();
    return this.withoutLeadingSpaces(text);
  }

  private finish(): string {
    if (this.unfinished.length === 0) return "";
    const text = decodeUtf8(this.unfinished);
    this.unfinished = NOTHING;
    return text;
  }

  private join(bytes: Uint8Array): string {
    const all = new Uint8Array(this.unfinished.length + bytes.length);
    all.set(this.unfinished);
    all.set(bytes, this.unfinished.length);
    const end = all.length - unfinishedBytes(all);
    this.unfinished = all.subarray(end);
    return decodeUtf8(all.subarray(0, end));
  }

  private withoutLeadingSpaces(text: string): string {
    if (this.leadingSpaces === 0 || text.length === 0) return text;
    let spaces = 0;
    while (spaces < this.leadingSpaces && text[spaces] === " ") spaces++;
    // Only the very beginning counts: the first text that is not all stripped settles it.
    this.leadingSpaces = spaces === text.length ? this.leadingSpaces - spaces : 0;
    return text.slice(spaces);
  }
}
