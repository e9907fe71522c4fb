import { rmSync } from "node:fs";
import { mkdir, mkdtemp, rm, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import type { EngineOptions } from "@polygraft/worker";
import { compare, type Difference, type Scores } from "../compare.js";
import { Scorer } from "../scorer.js";
import type { Subject } from "../subjects.js";
import type { LlamaCpp } from "./llama-cpp.js";

/** What llama.cpp makes of each model. */
export const ggufTypes = ["F16", "Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q4_1", "Q4_0"] as const;

/** A line of the table: one file in one engine. */
export interface GgufRow extends Difference {
  readonly subject: string;
  readonly file: string;
  readonly bytes: number;
  /** "exact" is the file's own values in f32; differences are against it, and its own against the source in f32. */
  readonly engine: "exact" | "llama.cpp" | "polygraft" | "polygraft, f32 activations";
  /** How polygraft holds the layers. */
  readonly weights: string;
  readonly tokens: number;
}

/** How to measure. */
export interface GgufOptions {
  /** Types of `ggufTypes`, or files of the subject's model. */
  readonly files: readonly string[];
  readonly llamaCpp: LlamaCpp;
  /** Folder for files, which do not stay. */
  readonly cache: string;
  readonly threads: number;
  readonly onProgress: (line: string) => void;
}

const asServed: EngineOptions = { activations: "int8" };
const engines: readonly (readonly [GgufRow["engine"], EngineOptions])[] = [
  ["polygraft", asServed],
  ["polygraft, f32 activations", { ...asServed, activations: "f32" }],
];

/** Yields for each file what it says exactly, in llama.cpp and in polygraft, on the subject's texts. */
export async function* measureGguf(subject: Subject, options: GgufOptions): AsyncGenerator<GgufRow, void> {
  const { files, llamaCpp, cache, threads, onProgress } = options;
  await mkdir(cache, { recursive: true });
  const made = await mkdtemp(join(cache, "gguf-"));
  const remove = (): void => rmSync(made, { recursive: true, force: true });
  process.once("exit", remove);
  try {
    const source = join(made, "F32.gguf");
    onProgress(`${subject.name}: source`);
    await llamaCpp.convert(subject.model, source);
    const { scores: reference, tokens } = await score(subject, subject.model, { scheme: "f32", threads });
    for (const name of files) {
      const own = name.endsWith(".gguf");
      const file = own ? name : join(made, `${name}.gguf`);
      onProgress(`${subject.name}: ${name}`);
      if (!own) await llamaCpp.quantize(source, file, name);
      const { size: bytes } = await stat(file);
      const common = { subject: subject.name, file: basename(name), bytes, tokens: reference.logprobs.length };
      const exact = (await score(subject, file, { scheme: "f32", threads })).scores;
      yield { ...common, engine: "exact", weights: "f32", ...compare(exact, reference) };
      yield { ...common, engine: "llama.cpp", weights: "", ...compare(await llamaCpp.score(file, tokens), exact) };
      for (const [engine, engineOptions] of engines) {
        const { scores, weights } = await score(subject, file, { ...engineOptions, threads });
        yield { ...common, engine, weights, ...compare(scores, exact) };
      }
      if (!own) await rm(file);
    }
  } finally {
    process.off("exit", remove);
    remove();
  }
}

async function score(
  subject: Subject,
  model: string,
  options: EngineOptions,
): Promise<{ readonly scores: Scores; readonly weights: string; readonly tokens: readonly Uint32Array[] }> {
  // Converted files have no tokenizer: it is the source's, whose vocabulary they have.
  const scorer = await Scorer.open(model, options, subject.model);
  try {
    return {
      scores: await scorer.score(subject.texts),
      weights: scorer.weights,
      tokens: subject.texts.map((text) => scorer.encode(text)),
    };
  } finally {
    await scorer.close();
  }
}
