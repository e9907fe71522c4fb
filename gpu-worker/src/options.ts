import type { NativeOptions } from "./engine/addon.js";
import type { HubAllowance } from "./adapters/hub-source.js";
import type { WorkerCertificates } from "./certificates.js";
import type { Log } from "./log.js";

/** How the engine is opened: what `abi/engine.h` names, without its folders. */
export type EngineOptions = Omit<NativeOptions, "modelDir" | "cacheDir">;

/** How a worker runs. */
export interface WorkerOptions extends EngineOptions, WorkerCertificates {
  /** The base model: a folder in Hugging Face layout, or a GGUF file of the Llama family. */
  readonly model: string;
  /** Name of the base model, as requests and routers know it. Default: the name of the folder or file. */
  readonly modelName?: string;
  /** Stable name of the worker: 1 to 128 of A-Z a-z 0-9 . _ : -. Default: "hostname:port". */
  readonly name?: string;
  /** Where to listen, as "host:port"; port 0 takes a free one. Default: "127.0.0.1:0". */
  readonly listen?: string;
  /** Where routers reach the worker, as "host:port". Default: where it listens. */
  readonly advertise?: string;
  /**
   * Routers to join, as "host:port" or "https://host:port" (TLS) each. A name stands for all routers that it resolves to;
   * it is resolved again every 15 s, and when a router is lost. Default: none.
   */
  readonly join?: readonly string[];
  /** Sent to routers that ask for keys. */
  readonly apiKey?: string;
  /** A file with that key instead. Read again each time that the worker joins, so that the key can be replaced. */
  readonly apiKeyFile?: string;
  /**
   * Refuses inference and adapter calls without an access token of a router that the worker has joined. Default: from the
   * moment on at which a router that asks for API keys has said so.
   */
  readonly requireToken?: boolean;
  /** Share of the fleet's work, above 0. Default: 1. */
  readonly weight?: number;
  /** Failure domain. Default: none. */
  readonly zone?: string;
  /** Folders below which every PEFT folder is an adapter. Asked in order. Default: none. */
  readonly adapters?: string | readonly string[];
  /** Keeps quantized checkpoints and fetched adapters. Default: "polygraft" in the user's cache folder. */
  readonly cacheDir?: string;
  /** Bytes of adapters in host memory. Default: by the plan of `memoryBytes`, else 2 GiB. */
  readonly hostAdapterBytes?: number;
  /** Hub repositories that may be fetched: all, or "org/repo" and "org/*". Default: none. */
  readonly allowHub?: boolean | readonly string[];
  /** Address of the hub. Default: https://huggingface.co */
  readonly hubUrl?: string;
  /** Access token of the hub. Never logged. */
  readonly hubToken?: string;
  /** Bytes of fetched adapters on disk. Default: 20 GiB. */
  readonly hubCacheBytes?: number;
  /** Longest wait of a request for room on the device, in seconds. Default: 10. */
  readonly adapterWaitSeconds?: number;
  /**
   * How long an adapter in use stays on the device when parked ones want its room, in seconds; 0: to the end of its use.
   * Default: 1.
   */
  readonly adapterTurnSeconds?: number;
  /** Seconds between looks at the adapter folders. Default: 30. */
  readonly rescanSeconds?: number;
  /**
   * Longest wait for adapters to be loaded where their requests will go, in seconds: here before the first request, and
   * elsewhere before the worker leaves. 0: requests move at once. Default: 10.
   */
  readonly handOverSeconds?: number;
  /** How long running streams may go on after a stop, in seconds. Default: 30. */
  readonly drainSeconds?: number;
  /** Default: JSON lines on standard error. */
  readonly log?: Log;
}

/** Options with their defaults filled in. */
export interface ResolvedOptions {
  readonly engine: EngineOptions;
  readonly model: string;
  readonly modelName: string;
  readonly name: string | undefined;
  readonly listen: string;
  readonly advertise: string | undefined;
  readonly join: readonly string[];
  readonly apiKey: string | undefined;
  readonly apiKeyFile: string | undefined;
  /** Absent: as the routers say. */
  readonly requireToken: boolean | undefined;
  readonly certificates: WorkerCertificates;
  readonly weight: number;
  readonly zone: string;
  readonly adapters: readonly string[];
  readonly cacheDir: string;
  /** Absent: by plan, else 2 GiB. */
  readonly hostAdapterBytes: number | undefined;
  readonly allowHub: HubAllowance | undefined;
  readonly hubUrl: string | undefined;
  readonly hubToken: string | undefined;
  readonly hubCacheBytes: number;
  readonly adapterWaitMillis: number;
  readonly adapterTurnMillis: number;
  readonly rescanMillis: number;
  readonly handOverMillis: number;
  readonly drainMillis: number;
  readonly log: Log;
}
