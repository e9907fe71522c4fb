import { Tokenizer as Reference } from "@huggingface/tokenizers";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { tinySentencePiece } from "../../../test/support/tiny-sentencepiece.js";
import { tinyTokenizer } from "../../../test/support/tiny-tokenizer.js";
import { Detokenizer } from "./detokenizer.js";
import { compileDecoder, type DecoderConfig } from "./piece-decoder.js";
import { createTokenPieces, type TokenPieces } from "./token-pieces.js";
import { decodeUtf8 } from "./utf8.js";

interface TokenizerJson {
  readonly decoder: DecoderConfig;
  readonly model: { readonly vocab: Readonly<Record<string, number>> };
}

const encoder = new TextEncoder();

function load({ tokenizer, config }: { tokenizer: object; config: object }) {
  const { decoder, model } = tokenizer as TokenizerJson;
  const entries = Object.entries(model.vocab).map(([content, id]) => ({ id, content, special: id < 3 }));
  return {
    pieces: createTokenPieces(entries, compileDecoder(decoder)),
    reference: new Reference(tokenizer, config),
    size: entries.length,
  };
}

function stream(pieces: TokenPieces, ids: readonly number[], continues: boolean): string[] {
  const detokenizer = new Detokenizer(pieces, continues);
  return [...ids.map((id) => detokenizer.push(id)), detokenizer.end()];
}

/** All bytes of all tokens, decoded at once. */
function decodeAtOnce(pieces: TokenPieces, ids: readonly number[]): string {
  const parts = ids.map((id) => pieces.piece(id));
  return decodeUtf8(Buffer.concat(parts.map((part) => (typeof part === "string" ? encoder.encode(part) : part))));
}

const KINDS = { "byte-level": load(tinyTokenizer()), SentencePiece: load(tinySentencePiece()) };

describe.each(Object.entries(KINDS))("%s", (_, { pieces, reference, size }) => {
  const ids = fc.array(fc.integer({ min: 0, max: size - 1 }), { maxLength: 40 });

  test("deltas of random tokens join to the decoding of all of them", () => {
    fc.assert(
      fc.property(ids, (tokens) => {
        expect(stream(pieces, tokens, true).join("")).toBe(decodeAtOnce(pieces, tokens));
      }),
      { numRuns: 3000 },
    );
  });

  test("deltas of a text join to the text, and none holds half a character", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => {
        const tokens = reference.encode(text, { add_special_tokens: false }).ids;
        fc.pre(!text.includes("\u{fffd}"));
        const deltas = stream(pieces, tokens, false);
        expect(deltas.join("")).toBe(text);
        for (const delta of deltas) expect(Buffer.from(delta).toString()).toBe(delta);
      }),
      { numRuns: 1000 },
    );
  });

  test("agrees with the library on tokens without specials, where the bytes are UTF-8", () => {
    fc.assert(
      fc.property(ids, (tokens) => {
        const plain = tokens.filter((id) => !pieces.isSpecial(id));
        fc.pre(plain.length > 0 && !decodeAtOnce(pieces, plain).includes("\u{fffd}"));
        const whole = reference.decode(plain, { clean_up_tokenization_spaces: false }) as string;
        expect(stream(pieces, plain, false).join("")).toBe(whole);
      }),
      { numRuns: 1000 },
    );
  });
});

test("an emoji over three tokens comes with the third", () => {
  const { pieces } = KINDS["byte-level"];
  // "ðŁĺ" holds three bytes of 😀; token 131 is the fourth.
  expect(stream(pieces, [317, 131, 311], true)).toEqual(["", "😀", "hello", ""]);
});

test("a broken character becomes one replacement character when the next token settles it", () => {
  const { pieces } = KINDS["byte-level"];
  expect(stream(pieces, [317, 311], true)).toEqual(["", "\u{fffd}hello", ""]);
  expect(stream(pieces, [317], true)).toEqual(["", "\u{fffd}"]);
});

test("SentencePiece strips its space before a first word, and only there", () => {
  const { pieces } = KINDS["SentencePiece"];
  // "▁", "he", "▁a" and "▁▁" by the vocabulary's numbers.
  expect(stream(pieces, [259, 330, 337], false).join("")).toBe("he a");
  expect(stream(pieces, [259, 330, 337], true).join("")).toBe(" he a");
  expect(stream(pieces, [1, 341, 330], false).join("")).toBe(" he");
});

test("special tokens add no text, and are spelled out where asked for", () => {
  const { pieces } = KINDS["byte-level"];
  const detokenizer = new Detokenizer(pieces, true);
  expect(detokenizer.push(2)).toBe("");
  expect(detokenizer.end(2)).toBe("<|im_end|>");
});

test("decoders that cannot work token by token are refused", () => {
  expect(() => compileDecoder(null)).toThrow(/decoder is missing/);
  expect(() => compileDecoder({ type: "WordPiece" })).toThrow(/WordPiece is not supported/);
  const strip = { type: "Sequence", decoders: [{ type: "Fuse" }, { type: "Strip", content: " ", start: 0, stop: 1 }] };
  expect(() => compileDecoder(strip)).toThrow(/leading spaces/);
});
