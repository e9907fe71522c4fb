import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { tinySentencePiece } from "../../../test/support/tiny-sentencepiece.js";
import { tinyTokenizer } from "../../../test/support/tiny-tokenizer.js";
import { ChatTemplateError } from "./chat-template.js";
import { Tokenizer } from "./tokenizer.js";

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "polygraft-tokenizer-"));
});
afterAll(async () => rm(directory, { recursive: true }));

async function load({ tokenizer, config }: { tokenizer: object; config: object }): Promise<Tokenizer> {
  await writeFile(join(directory, "tokenizer.json"), JSON.stringify(tokenizer));
  await writeFile(join(directory, "tokenizer_config.json"), JSON.stringify(config));
  return Tokenizer.load(directory);
}

describe("byte-level BPE", () => {
  // Token ids as the Python package tokenizers gives them.
  test.each([
    ["hello the world!", [311, 264, 269, 276, 111, 103, 36]],
    ["the 😀 日é", [119, 260, 35, 317, 131, 35, 233, 154, 168, 198, 172]],
    ["  a", [35, 261]],
    ["<|im_start|>user\nhello<|im_end|>", [1, 120, 118, 266, 13, 311, 2]],
  ])("encodes %j", async (text, ids) => {
    expect((await load(tinyTokenizer())).encode(text)).toEqual(ids);
  });

  test("renders a conversation with the model's template", async () => {
    const tokenizer = await load(tinyTokenizer());
    expect(tokenizer.render([{ role: "user", content: "hi" }], true)).toBe(
      "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n",
    );
    expect(tokenizer.render([{ role: "user", content: "hi" }], false)).toBe("<|im_start|>user\nhi<|im_end|>\n");
  });
});

describe("SentencePiece", () => {
  test.each([
    ["hello the world!", [1, 259, 330, 334, 274, 331, 339, 340, 263, 324]],
    ["the 😀 日é", [1, 331, 259, 243, 162, 155, 131, 259, 328, 327]],
    ["  a", [1, 341, 337]],
  ])("encodes %j with byte fallback", async (text, ids) => {
    expect((await load(tinySentencePiece())).encode(text)).toEqual(ids);
  });

  test("takes the default of several templates, and adds no second beginning of sequence", async () => {
    const tokenizer = await load(tinySentencePiece());
    const text = tokenizer.render([{ role: "user", content: "hello" }], true);
    expect(text).toBe("<s>[INST] hello [/INST]");
    expect(tokenizer.encodeRendered(text).filter((id) => id === 1)).toHaveLength(1);
  });

  test("tells what the template says against a conversation", async () => {
    const tokenizer = await load(tinySentencePiece());
    const twice = [1, 2].map(() => ({ role: "user", content: "hello" }));
    expect(() => tokenizer.render(twice, true)).toThrow(ChatTemplateError);
    expect(() => tokenizer.render(twice, true)).toThrow(/roles must alternate/);
  });
});

describe("files", () => {
  test("chat_template.jinja goes before the config", async () => {
    const path = join(directory, "chat_template.jinja");
    await writeFile(path, "{{ messages[0].content }}{{ eos_token }}");
    const tokenizer = await load(tinyTokenizer());
    await rm(path);
    expect(tokenizer.render([{ role: "user", content: "hi" }], true)).toBe("hi<|im_end|>");
  });

  test("a folder without tokenizer.json says how to get one", async () => {
    await expect(Tokenizer.load(join(directory, "none"))).rejects.toThrow(/no tokenizer.json.*save_pretrained/);
  });

  test("a broken file is named", async () => {
    await writeFile(join(directory, "tokenizer.json"), "{");
    await expect(Tokenizer.load(directory)).rejects.toThrow(/tokenizer.json is no JSON/);
  });
});
