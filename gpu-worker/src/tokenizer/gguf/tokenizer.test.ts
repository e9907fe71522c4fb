import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { encodeGguf, type GgufField } from "../../../../test/support/gguf-file.js";
import { tinySentencePiece } from "../../../../test/support/tiny-sentencepiece.js";
import { tinyTokenizer } from "../../../../test/support/tiny-tokenizer.js";
import { Tokenizer } from "../tokenizer.js";
import { PRE_TOKENIZERS } from "./pre-tokenizers.js";

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "polygraft-gguf-"));
});
afterAll(async () => rm(directory, { recursive: true }));

interface Model {
  readonly vocab: Readonly<Record<string, number>>;
  readonly merges: readonly string[];
}

type Fields = Record<string, GgufField>;

async function load(fields: Fields, change: (bytes: Buffer) => Buffer = (bytes) => bytes): Promise<Tokenizer> {
  const path = join(directory, "m.gguf");
  await writeFile(path, change(encodeGguf(fields)));
  return Tokenizer.load(path);
}

async function loadFolder({ tokenizer, config }: { tokenizer: object; config: object }): Promise<Tokenizer> {
  await writeFile(join(directory, "tokenizer.json"), JSON.stringify(tokenizer));
  await writeFile(join(directory, "tokenizer_config.json"), JSON.stringify(config));
  return Tokenizer.load(directory);
}

/** Tokens by their ids; an object's own order puts "0" to "9" first. */
function inOrder(vocab: Model["vocab"]): string[] {
  return Object.entries(vocab)
    .sort((a, b) => a[1] - b[1])
    .map(([token]) => token);
}

/** What llama.cpp's converter writes for the tiny byte-level tokenizer. */
function byteLevelFields(): Fields {
  const { vocab, merges } = (tinyTokenizer().tokenizer as { model: Model }).model;
  const tokens = inOrder(vocab);
  return {
    "general.architecture": "llama",
    "tokenizer.ggml.model": "gpt2",
    "tokenizer.ggml.pre": "gpt-2",
    "tokenizer.ggml.tokens": { strings: tokens },
    "tokenizer.ggml.token_type": { i32s: tokens.map((_, id) => (id < 3 ? 3 : 1)) },
    "tokenizer.ggml.merges": { strings: merges },
    "tokenizer.ggml.bos_token_id": { u32: 0 },
    "tokenizer.ggml.eos_token_id": { u32: 2 },
    "tokenizer.chat_template": (tinyTokenizer().config as { chat_template: string }).chat_template,
  };
}

/** The same for the tiny SentencePiece tokenizer: scores instead of merges. */
function sentencePieceFields(): Fields {
  const { vocab, merges } = (tinySentencePiece().tokenizer as { model: Model }).model;
  const tokens = inOrder(vocab);
  const ranks = new Map(merges.map((merge, rank) => [merge.replace(" ", ""), rank]));
  return {
    "tokenizer.ggml.model": "llama",
    "tokenizer.ggml.tokens": { strings: tokens },
    "tokenizer.ggml.scores": { f32s: tokens.map((token) => -(ranks.get(token) ?? 1000)) },
    "tokenizer.ggml.token_type": { i32s: tokens.map((_, id) => (id === 0 ? 2 : id < 3 ? 3 : id < 259 ? 6 : 1)) },
    "tokenizer.ggml.bos_token_id": { u32: 1 },
    "tokenizer.ggml.eos_token_id": { u32: 2 },
    "tokenizer.ggml.unknown_token_id": { u32: 0 },
  };
}

const words = fc.constantFrom("hello", " the", "  ", "\n", "日", "é", "😀", "42", "a", " world", "<s>", "<|im_end|>", "</s>");
const texts = fc.oneof(fc.string({ unit: "binary" }), fc.array(words).map((list) => list.join("")));

test("byte-level BPE gives the tokens of the tokenizer.json that it was made from", async () => {
  const [gguf, reference] = [await load(byteLevelFields()), await loadFolder(tinyTokenizer())];
  fc.assert(
    fc.property(texts, (text) => {
      expect(gguf.encode(text)).toEqual(reference.encode(text));
      expect(gguf.encodeRendered(text)).toEqual(reference.encodeRendered(text));
    }),
    { numRuns: 1000 },
  );
  expectSamePieces(gguf, reference);
});

function expectSamePieces(actual: Tokenizer, expected: Tokenizer): void {
  for (let id = 0; id < 300; id++) {
    expect(actual.pieces.isSpecial(id)).toBe(expected.pieces.isSpecial(id));
    expect(actual.pieces.piece(id)).toEqual(expected.pieces.piece(id));
  }
  expect(actual.pieces.leadingSpaces).toBe(expected.pieces.leadingSpaces);
}

/** SentencePiece's own algorithm: joins the neighbours that make the piece with the best score, leftmost first. */
function encodeByScores(fields: Fields, text: string): number[] {
  const { strings: tokens } = fields["tokenizer.ggml.tokens"] as { strings: string[] };
  const { f32s: scores } = fields["tokenizer.ggml.scores"] as { f32s: number[] };
  const parts = [...`▁${text.replaceAll(" ", "▁")}`];
  for (;;) {
    let best = -1;
    let bestScore = Number.NEGATIVE_INFINITY;
    for (let i = 0; i + 1 < parts.length; i++) {
      const id = tokens.indexOf(`${parts[i]}${parts[i + 1]}`);
      if (id >= 259 && (scores[id] as number) > bestScore) [best, bestScore] = [i, scores[id] as number];
    }
    if (best < 0) break;
    parts.splice(best, 2, `${parts[best]}${parts[best + 1]}`);
  }
  return parts.flatMap((part) => {
    const id = tokens.indexOf(part);
    return id >= 0 ? [id] : [...Buffer.from(part)].map((byte) => 3 + byte);
  });
}

test("SentencePiece joins by score, falls back to bytes and begins with a space", async () => {
  const fields = sentencePieceFields();
  const gguf = await load(fields);
  const plain = texts.filter((text) => text !== "" && text.isWellFormed() && !/<s>|<\/s>|<unk>/.test(text));
  fc.assert(
    fc.property(plain, (text) => {
      const expected = encodeByScores(fields, text);
      expect(gguf.encodeRendered(text)).toEqual(expected);
      expect(gguf.encode(text)).toEqual([1, ...expected]);
    }),
    { numRuns: 500 },
  );
  expectSamePieces(gguf, await loadFolder(tinySentencePiece()));
});

test("renders with the file's chat template", async () => {
  const tokenizer = await load(byteLevelFields());
  expect(tokenizer.render([{ role: "user", content: "hi" }], true)).toBe(
    "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n",
  );
});

test("puts a beginning of sequence where the file or its pre-tokenizer says so", async () => {
  const fields = byteLevelFields();
  expect((await load(fields)).encode("a")[0]).not.toBe(0);
  expect((await load({ ...fields, "tokenizer.ggml.add_bos_token": { bool: true } })).encode("a")[0]).toBe(0);
  expect((await load({ ...fields, "tokenizer.ggml.pre": "llama-bpe" })).encode("a")[0]).toBe(0);
});

test.each([...PRE_TOKENIZERS.keys()])("%s loads and keeps every byte of a text", async (pre) => {
  const tokenizer = await load({ ...byteLevelFields(), "tokenizer.ggml.pre": pre });
  const text = "It's 2026's 12345 lines:\r\n\tHello  wörld_x 日本 😀 NATO's  ";
  const parts = tokenizer.encodeRendered(text).map((id) => Buffer.from(tokenizer.pieces.piece(id) as string));
  expect(Buffer.concat(parts).toString()).toBe(text);
});

describe("files that are not what they should be", () => {
  test.each<[string, Fields, RegExp]>([
    ["an unknown pre-tokenizer", { "tokenizer.ggml.pre": "mystery" }, /m\.gguf: metadata tokenizer\.ggml\.pre is "mystery"; served are/],
    ["an unknown kind", { "tokenizer.ggml.model": "t5" }, /tokenizer\.ggml\.model is "t5"; gpt2 and llama are served/],
    ["types for other tokens", { "tokenizer.ggml.token_type": { i32s: [1] } }, /token_type has 1 entries for/],
    ["a wrong type", { "tokenizer.ggml.tokens": { u32: 7 } }, /tokens is no array of strings/],
    ["a merge of one", { "tokenizer.ggml.merges": { strings: ["ab"] } }, /merges has "ab", which is no pair/],
    ["an end that no token has", { "tokenizer.ggml.eos_token_id": { u32: 99_999 } }, /eos_token_id is 99999, which no token has/],
  ])("%s", async (_, fields, message) => {
    await expect(load({ ...byteLevelFields(), ...fields })).rejects.toThrow(message);
  });

  test("any truncation is an error", async () => {
    const { length } = encodeGguf(byteLevelFields());
    for (let size = 0; size < length - 32; size += 97) {
      // oxlint-disable-next-line no-await-in-loop -- one file, cut again and again
      await expect(load(byteLevelFields(), (bytes) => bytes.subarray(0, size))).rejects.toThrow(/^m\.gguf: /);
    }
  });

  test("a huge count allocates nothing", async () => {
    const huge = (bytes: Buffer): Buffer => {
      bytes.writeBigUInt64LE(2n ** 60n, 16);
      return bytes;
    };
    await expect(load(byteLevelFields(), huge)).rejects.toThrow(/metadata_kv_count claims/);
  });
});
