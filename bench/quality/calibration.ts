import { access, mkdir, rename, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { Detokenizer, openNativeEngine, Tokenizer, type Engine } from "@polygraft/worker";
import type { Subject } from "./subjects.js";

const TEXT_TOKENS = 256;
/** Tokens in all; quantizing uses 8192 of them. */
const TOKENS = 9000;

/**
 * A file of texts to calibrate with: what the model itself, in full precision, writes at temperature 1. It needs no data
 * set, is of the kind that the model knows, and shares nothing with the texts that are measured. Made once and kept.
 */
export async function calibrationTexts({ model, openings }: Subject, cache: string, onProgress: (line: string) => void): Promise<string> {
  const file = join(cache, "calibration.jsonl");
  if (await access(file).then(() => true, () => false)) return file;
  onProgress("writing texts to calibrate with");
  const engine = await openNativeEngine({ modelDir: model, scheme: "f32", maxContext: 512, maxSequences: 32 });
  try {
    const tokenizer = await Tokenizer.load(model);
    const texts: string[] = [];
    let tokens = 0;
    for (let seed = 1n; tokens < TOKENS; seed += 1n) {
      const written = await Promise.all(openings.map((opening) => write(engine, tokenizer, opening, seed)));
      for (const text of written) {
        texts.push(text);
        tokens += tokenizer.encode(text).length;
      }
    }
    await mkdir(dirname(file), { recursive: true });
    await writeFile(`${file}.tmp`, texts.map((text) => JSON.stringify(text) + "\n").join(""));
    await rename(`${file}.tmp`, file);
    return file;
  } finally {
    await engine.close();
  }
}

function write(engine: Engine, tokenizer: Tokenizer, opening: string, seed: bigint): Promise<string> {
  const pieces = new Detokenizer(tokenizer.pieces, true);
  let text = opening;
  return new Promise((resolve, reject) => {
    const prompt = Uint32Array.from(tokenizer.encode(opening));
    engine.submit(
      { prompt, maxTokens: TEXT_TOKENS, temperature: 1, seed },
      {
        started: () => {},
        promptScore: () => {},
        token: (token) => (text += pieces.push(token)),
        finished: () => resolve(text + pieces.end()),
        failed: reject,
      },
    );
  });
}
