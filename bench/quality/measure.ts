import { createHash } from "node:crypto";
import { createReadStream, rmSync } from "node:fs";
import { mkdir, mkdtemp } from "node:fs/promises";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import type { EngineOptions } from "@polygraft/worker";
import { calibrationTexts } from "./calibration.js";
import { compare, regress, type Difference, type Regression, type Scores } from "./compare.js";
import { quantized } from "./quantized.js";
import type { Variant } from "./schemes.js";
import { Scorer } from "./scorer.js";
import type { Subject } from "./subjects.js";

/** A line of the table. */
export interface Row extends Difference, Regression {
  readonly subject: string;
  readonly weights: string;
  readonly headBits: number;
  readonly activations: string;
  /** Scored tokens of the texts, and of the adapter's. */
  readonly tokens: number;
  readonly adapterTokens: number;
}

/** How to measure. */
export interface MeasureOptions {
  /** Folder for texts to calibrate with, which stay, and for quantized models, which do not. */
  readonly cache: string;
  readonly threads: number;
  /** What the schemes store keys and values as. Default: f16. */
  readonly kvType?: "f16" | "int8";
  /** What the schemes hold adapters as. Default: source. */
  readonly adapterType?: "source" | "int8";
  readonly onProgress: (line: string) => void;
}

/** Yields the reference, then each variant compared with it. */
export async function* measure(
  subject: Subject,
  variants: readonly Variant[],
  { cache, onProgress, ...engine }: MeasureOptions,
): AsyncGenerator<Row, void> {
  const kept = join(cache, await fingerprint(subject));
  await mkdir(kept, { recursive: true });
  const made = await mkdtemp(join(kept, "run-"));
  const remove = (): void => rmSync(made, { recursive: true, force: true });
  process.once("exit", remove);
  try {
    yield* measureIn(made, kept, subject, variants, engine, onProgress);
  } finally {
    process.off("exit", remove);
    remove();
  }
}

/** `made`: where quantized models go; `kept`: where texts to calibrate with are. */
async function* measureIn(
  made: string,
  kept: string,
  subject: Subject,
  variants: readonly Variant[],
  engine: Pick<EngineOptions, "threads" | "kvType" | "adapterType">,
  onProgress: (line: string) => void,
): AsyncGenerator<Row, void> {
  onProgress(`${subject.name}: reference`);
  const reference = await scoreAll(subject, subject.model, { scheme: "f32", ...(engine.threads !== undefined && { threads: engine.threads }) });
  yield row(subject, { weights: "f32 (reference)", headBits: 32, activations: "f32" }, reference, reference);
  let calibration: string | undefined;
  for (const variant of variants) {
    const { weights, headBits, activations } = variant;
    if (weights.calibrated) calibration ??= await calibrationTexts(subject, kept, onProgress);
    const model = await quantized(subject, variant, calibration, made, onProgress);
    onProgress(`${subject.name}: ${weights.name}, head in ${headBits} bits, ${activations} activations`);
    const scores = await scoreAll(subject, model, { activations, ...engine });
    yield row(subject, { weights: weights.name, headBits, activations }, scores, reference);
  }
}

/** What a model says about a subject's texts, without and with the adapter. */
interface AllScores {
  readonly texts: Scores;
  readonly without: Scores;
  readonly adapted: Scores;
}

async function scoreAll(subject: Subject, model: string, options: EngineOptions): Promise<AllScores> {
  const scorer = await Scorer.open(model, options);
  try {
    const slot = await scorer.attach(subject.adapter);
    return {
      texts: await scorer.score(subject.texts),
      without: await scorer.score(subject.adapterTexts),
      adapted: await scorer.score(subject.adapterTexts, slot),
    };
  } finally {
    await scorer.close();
  }
}

function row(
  subject: Subject,
  variant: Pick<Row, "weights" | "headBits" | "activations">,
  scores: AllScores,
  reference: AllScores,
): Row {
  return {
    subject: subject.name,
    ...variant,
    tokens: scores.texts.logprobs.length,
    adapterTokens: scores.adapted.logprobs.length,
    ...compare(scores.texts, reference.texts),
    ...regress(scores.without, scores.adapted, reference.without, reference.adapted),
  };
}

/** A name for a model's weights, so that its texts are never those of another. */
async function fingerprint({ model }: Subject): Promise<string> {
  const hash = createHash("sha256");
  await pipeline(createReadStream(join(model, "model.safetensors")), hash);
  return hash.digest("hex").slice(0, 16);
}

