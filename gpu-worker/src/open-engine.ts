import { join } from "node:path";
import type { Engine, EngineInfo } from "./engine/engine.js";
import { openNativeEngine } from "./engine/native-engine.js";
import type { Log } from "./log.js";
import type { ResolvedOptions } from "./options.js";

/** Percent between two entries of the log. */
const STEP = 25;

/** Opens the engine on the model's folder, and tells the log how far it has come. */
export async function openEngine({ engine, model, cacheDir, log }: ResolvedOptions): Promise<Engine> {
  log.info("opening the model", { folder: model });
  const options = { ...engine, modelDir: model, cacheDir: join(cacheDir, "models") };
  const opened = await openNativeEngine(options, progress(log));
  tellOpened(log, opened.info, engine.memoryBytes);
  return opened;
}

/** Tells the log what has opened, and what the operator should know of it; the memory plan too, if there is one. */
export function tellOpened(log: Log, info: EngineInfo, memoryBytes?: number): void {
  const { digest, device, weights, contextLength, weightBytes, warning } = info;
  log.info("the model is open", { device, weights, contextLength, weightBytes, digest });
  if (warning !== undefined) log.warn(warning, { device });
  const { kvBytes, adapterBytes, hostAdapterBytes, scratchBytes, processBytes } = info;
  const plan = { weightBytes, kvBytes, adapterBytes, hostAdapterBytes, scratchBytes, processBytes };
  if (memoryBytes !== undefined) log.info("the memory plan", { memoryBytes, ...plan });
}

function progress(log: Log): (phase: string, done: number, total: number) => void {
  let told = "";
  return (phase, done, total) => {
    const percent = total > 0 ? STEP * Math.floor((100 * done) / total / STEP) : 0;
    const now = `${phase} ${percent}`;
    if (now === told) return;
    told = now;
    log.info("opening the model", { phase, percent });
  };
}
