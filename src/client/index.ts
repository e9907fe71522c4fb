/** The SDK: stream text from one base model with any of its LoRA adapters. */
export { Polygraft } from "./polygraft.js";
export { Generation } from "./generation.js";
export type { GenerationResult, Timings } from "./collector.js";
export type {
  AcceptedEvent,
  AdapterChangedEvent,
  AdapterIdentity,
  DeltaEvent,
  FinishReason,
  FinishedEvent,
  GenerationEvent,
  PlacementExplanation,
  PromptScoresEvent,
  ServerTimings,
  Tier,
  TokenLogprob,
  Usage,
} from "./events.js";
export type {
  AdapterReference,
  CacheUse,
  ChatMessage,
  Constraint,
  GenerateRequest,
  Output,
  ResumePoint,
  Routing,
  Sampling,
  Stopping,
} from "./request.js";
export type { CallOptions, GenerateOptions, PolygraftOptions, TlsOptions } from "./options.js";
export type { LoadSample, ModelInfo } from "@polygraft/api";
export type { RetryOptions } from "./retry.js";
export { PolygraftError, clientErrorCodes } from "./error.js";
export type {
  ClientErrorCode,
  FieldViolation,
  PolygraftErrorCode,
  PolygraftErrorDetails,
  ServerErrorCode,
  StatusName,
} from "./error.js";
export type { Adapter, Adapters, ListAdaptersOptions, LoadAdapterOptions, Residency } from "./adapters.js";
export type { Fleet, FleetState, FleetWorker, WatchFleetOptions, WorkerState } from "./fleet.js";
