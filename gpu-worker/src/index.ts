export { EngineError, type Engine, type EngineErrorCode, type EngineInfo } from "./engine/engine.js";
export type { Log, LogFields } from "./log.js";
export { runWorker } from "./main.js";
export type { EngineOptions, WorkerOptions } from "./options.js";
export { startWorker, type StartHooks } from "./start-worker.js";
export type { Worker } from "./worker.js";
