export { EngineError, type Engine, type EngineErrorCode, type EngineInfo } from "./engine/engine.js";
export { openNativeEngine, type OpenProgress } from "./engine/native-engine.js";
export type { Log, LogFields } from "./log.js";
export { runWorker } from "./main.js";
export type { EngineOptions, WorkerOptions } from "./options.js";
export {
  quantizeModel,
  type ProjectionErrors,
  type QuantizeHooks,
  type QuantizeOptions,
  type QuantizeReport,
} from "./quantize/quantize-model.js";
export { startWorker, type StartHooks } from "./start-worker.js";
export type { Worker } from "./worker.js";
export { Detokenizer } from "./tokenizer/detokenizer.js";
export { Tokenizer } from "./tokenizer/tokenizer.js";
