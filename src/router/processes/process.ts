import type { Socket } from "node:net";
import { logWith } from "../log.js";
import { resolveOptions } from "../options.js";
import type { RouterOptions } from "../options.js";
import { formatAddress, splitAddress } from "../relay/address.js";
import { startRouter } from "../router.js";
import type { Router } from "../router.js";
import { untilAborted } from "../until.js";
import { logFields } from "./messages.js";
import type { FromProcess, Seat, ToProcess } from "./messages.js";
import { ProcessPorts } from "./process-ports.js";
import { settled } from "./settled.js";
import { shareOf } from "./share.js";

/**
 * Runs one of several processes of a router until the signal aborts, then drains it. It is a router by itself: workers
 * join it at its own port, it is handed connections of clients, and of the others it knows no more than their ports.
 *
 * @throws as `startRouter` does.
 */
export async function runProcess(options: RouterOptions, seat: Seat, signal: AbortSignal): Promise<void> {
  const resolved = resolveOptions(options);
  const ports = new ProcessPorts();
  const name = `${resolved.name}/${seat.number}`;
  const own = { ...options, ...shareOf(resolved), name, log: logWith(resolved.log, logFields(seat)) };
  const router = await startAt(seat, own, ports);
  process.on("message", (message: ToProcess, socket?: Socket) => {
    if (message.kind === "ports") return ports.set(message.ports);
    // It may have been closed on its way.
    if (socket !== undefined) router.accept(socket);
    tell({ kind: "taken", connection: message.connection });
  });
  tell({ kind: "joinable", port: ports.own });
  if (seat.again) await settled(router.fleet, resolved.timers, signal);
  tell({ kind: "open" });
  await untilAborted(signal);
  await router.drain();
}

/** At the port that workers know, or, if that was taken meanwhile, at another one, unless it was chosen by the user. */
async function startAt({ port }: Seat, options: RouterOptions, ports: ProcessPorts): Promise<Router> {
  const { host } = splitAddress(resolveOptions(options).listen);
  const start = (at: number) => startRouter({ ...options, listen: formatAddress(host, at) }, ports);
  return start(port).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "EADDRINUSE" || port === 0 || options.processPort !== undefined) throw error;
    return start(0);
  });
}

function tell(message: FromProcess): void {
  // The process that started this one may be gone.
  if (process.connected) process.send!(message);
}
