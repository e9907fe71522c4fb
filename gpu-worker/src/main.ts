import type { WorkerOptions } from "./options.js";
import { resolveOptions } from "./resolve-options.js";
import { startWorker } from "./start-worker.js";

/**
 * Runs a worker until the signal aborts or a router asks it to leave, then drains it. Prints `listening on HOST:PORT` on
 * standard output when it serves, which is after the model is open. Resolves when everything has ended.
 * @throws as `startWorker` does.
 */
export async function runWorker(options: WorkerOptions, signal: AbortSignal): Promise<void> {
  const { log, drainMillis } = resolveOptions(options);
  let drain: (reason: string) => void = () => {};
  const asked = new Promise<string>((resolve) => {
    drain = resolve;
  });
  const worker = await startWorker(options, { onDrainRequest: drain });
  process.stdout.write(`listening on ${worker.address}\n`);
  if (signal.aborted) drain("stopped");
  else signal.addEventListener("abort", () => drain("stopped"), { once: true });
  const reason = await asked;
  log.info("draining", { reason, seconds: drainMillis / 1000 });
  await worker.drain(reason);
  log.info("stopped");
}
