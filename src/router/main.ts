import { resolveOptions } from "./options.js";
import type { RouterOptions } from "./options.js";
import { ownSeat } from "./processes/messages.js";
import { runProcess } from "./processes/process.js";
import { Processes } from "./processes/supervise.js";
import { startRouter } from "./router.js";
import { untilAborted } from "./until.js";

/**
 * Runs a router until the signal aborts, then drains it. Prints `listening on HOST:PORT` on standard output when it
 * accepts calls. Resolves when everything has ended.
 *
 * With several processes it starts this program again, with the same arguments, for each; there, this function runs the
 * process and prints nothing.
 *
 * @throws as `startRouter` does, and Error if a process ends before it listens.
 */
export async function runRouter(options: RouterOptions, signal: AbortSignal): Promise<void> {
  const seat = ownSeat();
  if (seat !== undefined) return runProcess(options, seat, signal);
  const resolved = resolveOptions(options);
  const { log, drainSeconds } = resolved;
  const router = resolved.processes > 1 ? await Processes.start(resolved, signal) : await startRouter(options);
  process.stdout.write(`listening on ${router.address}\n`);
  await untilAborted(signal);
  log.info("draining", { seconds: drainSeconds });
  await router.drain();
  log.info("stopped");
}
