import { resolveOptions } from "./options.js";
import type { RouterOptions } from "./options.js";
import { startRouter } from "./router.js";

/**
 * Runs a router until the signal aborts, then drains it. Prints `listening on HOST:PORT` on standard output when it
 * accepts calls. Resolves when everything has ended.
 *
 * @throws as `startRouter` does.
 */
export async function runRouter(options: RouterOptions, signal: AbortSignal): Promise<void> {
  const { log, drainSeconds } = resolveOptions(options);
  const router = await startRouter(options);
  process.stdout.write(`listening on ${router.address}\n`);
  await new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
  log.info("draining", { seconds: drainSeconds });
  await router.drain();
  log.info("stopped");
}
