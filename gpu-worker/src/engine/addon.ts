import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";

import type { EngineRequest } from "./engine.js";

/** Version of the C ABI that this mirror is written for. */
export const ABI_VERSION = 2;

/** How an engine is opened. What is absent has the default that abi/engine.h names. */
export interface NativeOptions {
  /** Hugging Face folder (config.json and *.safetensors), or a GGUF file. */
  readonly modelDir: string;
  /** Keeps quantized checkpoints. Absent: none. */
  readonly cacheDir?: string;
  /** How linear layers are held. Default: as a quantized file has them, in 4 bits or in 8; else "w4". */
  readonly scheme?: "w4" | "nf4" | "w8" | "f32";
  /** How activations enter a quantized layer. Default: "int8". */
  readonly activations?: "int8" | "f32";
  /** What keys and values are stored as. Default: "f16"; "f32" where activations are f32. */
  readonly kvType?: "f16" | "f32" | "int8";
  /** What adapters are held as on the device: in the precision of their files, or in 8 bits. Default: "source". */
  readonly adapterType?: "source" | "int8";
  /** Weights that share a scale: 32, 64 or 128. Default: 32. */
  readonly group?: number;
  /** Bits of embedding and head: 4, 8 or 32. Default: 8. */
  readonly headBits?: number;
  /** "scalar", "avx2", "avx512vnni" or "avx512amx". Default: the best that the CPU has. */
  readonly isa?: string;
  /** Default: all cores. */
  readonly threads?: number;
  /** Tokens of a sequence. Default: the model's limit, at most 8192. */
  readonly maxContext?: number;
  /** Sequences in one step. Default: 64. */
  readonly maxSequences?: number;
  /** Tokens in one step. Default: 512. */
  readonly maxStepTokens?: number;
  /** Prompt tokens in a step in which others decode. Default: 64. */
  readonly maxPrefillTokens?: number;
  /** Requests that wait. Default: 1024. */
  readonly maxQueue?: number;
  /** Bytes of KV blocks. Default: for `maxSequences` at 1024 tokens, at most 1 GiB. */
  readonly kvBytes?: number;
  /** Bytes of adapters on the device. Default: 512 MiB. */
  readonly adapterBytes?: number;
  /**
   * Bytes for all that the worker holds: weights, KV blocks, adapters in both tiers, and what it works with. Sizes that
   * are not given are planned from it. Default: no plan.
   */
  readonly memoryBytes?: number;
  /** Of these, bytes for adapters in host memory. Default: by plan. */
  readonly hostAdapterBytes?: number;
  /** Shares keys and values between requests that begin alike. Default: true. */
  readonly prefixCache?: boolean;
}

/** pg_model_info. */
export interface NativeModelInfo {
  readonly architecture: string;
  readonly digest: string;
  readonly device: string;
  readonly weights: string;
  readonly vocabularySize: number;
  readonly contextLength: number;
  readonly hiddenSize: number;
  readonly layers: number;
  readonly kvBlocks: number;
  readonly kvBlockTokens: number;
  readonly weightBytes: number;
  readonly kvBytes: number;
  readonly adapterBytes: number;
  readonly hostAdapterBytes: number;
  readonly scratchBytes: number;
  readonly processBytes: number;
  readonly maxSequences: number;
  readonly maxStepTokens: number;
  readonly maxQueue: number;
  readonly eosTokenIds: readonly number[];
  /** -1: none. */
  readonly bosTokenId: number;
  /** Empty: none. */
  readonly warning: string;
}

/** pg_adapter_info. */
export interface NativeAdapterInfo {
  readonly rank: number;
  readonly moduleCount: number;
  /** Bit 0 to 6: q, k, v, o, gate, up, down. */
  readonly targetMask: number;
  readonly hostBytes: number;
  readonly deviceBytes: number;
  readonly baseModel: string;
}

/** An adapter in host memory. */
export interface NativeAdapter {
  info(): NativeAdapterInfo;
  close(): void;
}

/** Where reports are found: two buffers that change places, each with a load, events and alternatives. */
export interface NativeReportLayout {
  readonly buffers: readonly [ArrayBuffer, ArrayBuffer];
  readonly eventsOffset: number;
  readonly alternativesOffset: number;
}

/** Reads `buffers[buffer]` before it returns. */
export type NativeReportCallback = (buffer: 0 | 1, events: number, alternatives: number) => void;

/** An open engine. Its errors carry `code` and `field`. */
export interface NativeEngine {
  info(): NativeModelInfo;
  /** Sets the receiver, once, before the first submit. */
  onReport(callback: NativeReportCallback): NativeReportLayout;
  openAdapter(directory: string): Promise<NativeAdapter>;
  attachAdapter(adapter: NativeAdapter, digest?: string): Promise<number>;
  detachAdapter(slot: number): void;
  aliasAdapter(slot: number): number;
  replaceAdapter(slot: number, by: number): void;
  parkAdapter(slot: number): void;
  resumeAdapter(adapter: NativeAdapter, slot: number): Promise<void>;
  submit(id: number, request: EngineRequest): void;
  cancel(id: number): void;
  /** Fills the ten fields of a load, in the order of pg_load. */
  load(out: Float64Array): void;
  close(): Promise<void>;
}

/** How a checkpoint is quantized. What is absent has the default that abi/engine.h names. */
export interface NativeQuantizeOptions {
  /** Hugging Face folder: config.json and *.safetensors. */
  readonly modelDir: string;
  /** The weights file to write. */
  readonly outFile: string;
  /** Default: "w4". */
  readonly scheme?: "w4" | "nf4" | "w8" | "f32";
  /** How the grid of a group is found. Default: "searched"; calibration needs it. */
  readonly grid?: "searched" | "plain" | "symmetric";
  /** Weights that share a scale: 32, 64 or 128. Default: 32. */
  readonly group?: number;
  /** Bits of embedding and head: 4, 8 or 32. Default: 8. */
  readonly headBits?: number;
  /** Texts to calibrate with. Absent: weights are rounded by themselves. */
  readonly tokens?: Uint32Array;
  /** Tokens that see each other. Default: 512, or the model's positions if they are fewer. */
  readonly sequenceTokens?: number;
  /** Threads of the calibration's forward passes. Default: all cores. */
  readonly threads?: number;
}

/** pg_quantize_report. Errors are by projection: q, k, v, o, gate, up, down. */
export interface NativeQuantizeReport {
  readonly layers: number;
  readonly parameters: number;
  readonly bytes: number;
  readonly plainWeightError: Float64Array;
  readonly weightError: Float64Array;
  readonly roundedOutputError: Float64Array;
  readonly outputError: Float64Array;
}

/** Progress of a long call. `false` stops it: it then fails with the code "CANCELLED". */
export type NativeProgress = (phase: string, done: number, total: number) => boolean | void;

/** What polygraft.node exports. */
export interface NativeAddon {
  readonly abiVersion: number;
  open(options: NativeOptions, onProgress?: NativeProgress): Promise<NativeEngine>;
  quantize(options: NativeQuantizeOptions, onProgress?: NativeProgress): Promise<NativeQuantizeReport>;
  readonly NativeEngine: { readonly prototype: NativeEngine };
  readonly NativeAdapter: { readonly prototype: NativeAdapter };
}

let loaded: NativeAddon | undefined;

/**
 * Loads the addon: what was built in this checkout, else the package for this platform.
 * @throws Error naming both if neither can be loaded.
 */
export function loadAddon(): NativeAddon {
  loaded ??= checkVersion(requireAddon());
  return loaded;
}

function requireAddon(): NativeAddon {
  const require = createRequire(import.meta.url);
  const built = fileURLToPath(new URL("../../native/build/polygraft.node", import.meta.url));
  if (existsSync(built)) return require(built) as NativeAddon;
  const platform = `@polygraft/engine-${process.platform}-${process.arch}`;
  try {
    return require(platform) as NativeAddon;
  } catch (cause) {
    throw new Error(
      `the engine's addon is missing: neither ${built} nor the package ${platform} can be loaded; ` +
        "run `make build`, or install the package",
      { cause },
    );
  }
}

function checkVersion(addon: NativeAddon): NativeAddon {
  if (addon.abiVersion !== ABI_VERSION) {
    throw new Error(`the engine's addon has ABI version ${addon.abiVersion}, this package needs ${ABI_VERSION}: rebuild it`);
  }
  return addon;
}
