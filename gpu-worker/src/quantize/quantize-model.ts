import { randomUUID } from "node:crypto";
import { rmSync } from "node:fs";
import { access, copyFile, mkdir, readdir, rename, stat, writeFile } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { loadAddon, type NativeProgress, type NativeQuantizeReport } from "../engine/addon.js";
import { EngineError } from "../engine/engine.js";
import { toEngineError } from "../engine/native-errors.js";
import { PROJECTIONS } from "../engine/projections.js";
import { readTokenizerFiles } from "../tokenizer/tokenizer-files.js";
import { calibrationTokens } from "./calibration-tokens.js";

/** How a model is quantized ahead of time. */
export interface QuantizeOptions {
  /** Hugging Face folder: config.json, *.safetensors and, to calibrate, its tokenizer; or a GGUF file that is not in 4 bits. */
  readonly model: string;
  /** Folder to make. It must not exist. */
  readonly output: string;
  /** How linear layers are held. Default: "w4". */
  readonly scheme?: "w4" | "nf4" | "w8";
  /** Weights that share a scale: 32, 64 or 128. Default: 32. */
  readonly groupSize?: number;
  /** Bits of embedding and head: 4, 8 or 32. Default: 8. */
  readonly headBits?: number;
  /** How the grid of a group is found. Default: "searched", and nothing else with `calibrate`. */
  readonly grid?: "searched" | "plain" | "symmetric";
  /** File of texts like those that the model will see. Default: none, each weight is rounded by itself. */
  readonly calibrate?: string;
  /** Tokens of it that are used. Default: 8192. */
  readonly calibrateTokens?: number;
  /** Threads of the calibration's forward passes. Default: all cores. */
  readonly threads?: number;
}

/** How long work is watched and stopped. */
export interface QuantizeHooks {
  /** `done` of `total` in a phase: "quantize" (bytes), "calibrate" (linear layers), "compare" (layers). */
  readonly onProgress?: (phase: string, done: number, total: number) => void;
  /** Stops the work; nothing is left of it. */
  readonly signal?: AbortSignal;
}

/** What it did to one projection, mean over layers, or to the head; errors are squared, over the squares of what was to be kept. */
export interface ProjectionErrors {
  readonly projection: string;
  /** Of the weights, had each group ranged from its smallest to its largest weight. */
  readonly plainWeights: number;
  readonly weights: number;
  /** Of the outputs on the calibration tokens, had each weight been rounded by itself. Absent without calibration. */
  readonly roundedOutputs?: number;
  readonly outputs?: number;
}

/** What quantizing did. */
export interface QuantizeReport {
  readonly layers: number;
  /** Of all matrices. */
  readonly parameters: number;
  /** Of the written weights file. */
  readonly bytes: number;
  /** 0 without calibration. */
  readonly calibrationTokens: number;
  readonly projections: readonly ProjectionErrors[];
  /** Of the output head, which is the embedding too where they are tied. Absent where it is not in 4 bits. */
  readonly head?: ProjectionErrors;
}

const CALIBRATION_TOKENS = 8192;

/** What a folder holds besides weights: configs, tokenizer, templates, licence. */
const COPIED = /\.(?:json|jinja|model|txt|md)$|^(?:LICENSE|NOTICE)/;
const INDEX = /\.index\.json$/;

/**
 * Quantizes a model and writes it as a folder that workers serve. The same model, options and texts give the same
 * weights file on every machine. The folder appears when it is whole.
 * @throws EngineError naming the option, file or tensor at fault.
 */
export async function quantizeModel(options: QuantizeOptions, hooks: QuantizeHooks = {}): Promise<QuantizeReport> {
  const output = resolve(options.output);
  if (await exists(output)) {
    throw new EngineError("INVALID_ARGUMENT", `${options.output} exists already: remove it or name another folder`, "output");
  }
  const tokens =
    options.calibrate === undefined
      ? undefined
      : await calibrationTokens(options.calibrate, options.model, options.calibrateTokens ?? CALIBRATION_TOKENS);
  hooks.signal?.throwIfAborted();
  await mkdir(dirname(output), { recursive: true });
  // Made aside and then moved: an interrupted run leaves nothing that looks whole.
  const draft = join(dirname(output), `.${basename(output)}-${randomUUID()}`);
  await mkdir(draft); // readable as other folders are, which mkdtemp's are not
  const removeDraft = (): void => rmSync(draft, { recursive: true, force: true });
  process.once("exit", removeDraft);
  try {
    const report = await writeWeights(options, join(draft, "model.safetensors"), tokens, hooks);
    await ((await isFile(options.model)) ? writeTokenizer(options.model, draft) : copyRest(options.model, draft));
    hooks.signal?.throwIfAborted();
    await rename(draft, output);
    return describe(report, tokens);
  } finally {
    process.off("exit", removeDraft);
    removeDraft();
  }
}

async function copyRest(model: string, folder: string): Promise<void> {
  for (const name of await readdir(model)) {
    if (COPIED.test(name) && !INDEX.test(name)) await copyFile(join(model, name), join(folder, name));
  }
}

/** The tokenizer of a GGUF file as the files of a folder. */
async function writeTokenizer(model: string, folder: string): Promise<void> {
  const { tokenizer, config, chatTemplate } = await readTokenizerFiles(model);
  await writeFile(join(folder, "tokenizer.json"), JSON.stringify(tokenizer));
  await writeFile(join(folder, "tokenizer_config.json"), JSON.stringify(config, undefined, 2));
  if (chatTemplate !== undefined) await writeFile(join(folder, "chat_template.jinja"), chatTemplate);
}

async function writeWeights(
  { model, scheme, groupSize, headBits, grid, threads }: QuantizeOptions,
  outFile: string,
  tokens: Uint32Array | undefined,
  { onProgress, signal }: QuantizeHooks,
): Promise<NativeQuantizeReport> {
  const progress: NativeProgress = (phase, done, total) => {
    onProgress?.(phase, done, total);
    return signal?.aborted !== true;
  };
  const given = {
    ...(scheme === undefined ? {} : { scheme }),
    ...(groupSize === undefined ? {} : { group: groupSize }),
    ...(headBits === undefined ? {} : { headBits }),
    ...(grid === undefined ? {} : { grid }),
    ...(threads === undefined ? {} : { threads }),
    ...(tokens === undefined ? {} : { tokens }),
  };
  try {
    return await loadAddon().quantize({ modelDir: model, outFile, ...given }, progress);
  } catch (error) {
    signal?.throwIfAborted();
    throw toEngineError(error);
  }
}

function describe(report: NativeQuantizeReport, tokens: Uint32Array | undefined): QuantizeReport {
  const { layers, parameters, bytes } = report;
  const errors = (projection: string, index: number): ProjectionErrors => ({
    projection,
    plainWeights: report.plainWeightError[index] ?? 0,
    weights: report.weightError[index] ?? 0,
    ...(tokens === undefined
      ? {}
      : { roundedOutputs: report.roundedOutputError[index] ?? 0, outputs: report.outputError[index] ?? 0 }),
  });
  const head = errors("head", PROJECTIONS.length);
  return {
    layers, parameters, bytes,
    calibrationTokens: tokens?.length ?? 0,
    projections: PROJECTIONS.map(errors),
    ...(head.plainWeights === 0 ? {} : { head }),
  };
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(() => true, () => false);
}

async function isFile(path: string): Promise<boolean> {
  return stat(path).then((found) => found.isFile(), () => false);
}
