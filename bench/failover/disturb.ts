import { setTimeout as delay } from "node:timers/promises";
import type { WiredFleet } from "./fleet.js";

/** What happens to workers. */
export const disturbances = {
  /** The process is killed, and started again at once. */
  async kill(fleet: WiredFleet, name: string): Promise<void> {
    fleet.signal(name, "SIGKILL");
    await fleet.missed(name);
  },
  /** The process stands still until the router has noticed, and a little longer. */
  async hang(fleet: WiredFleet, name: string): Promise<void> {
    fleet.signal(name, "SIGSTOP");
    await fleet.missed(name);
    await delay(500);
    fleet.signal(name, "SIGCONT");
  },
  /** The network to and from the machine is dead, without a goodbye, until the router has noticed. */
  async vanish(fleet: WiredFleet, name: string): Promise<void> {
    fleet.vanish(name);
    await fleet.missed(name);
    await delay(500);
    fleet.reappear(name);
  },
} as const;

export type DisturbanceName = keyof typeof disturbances;

/** Disturbs one worker after another, each time that all are well, until the signal aborts. Returns how often. */
export async function keepDisturbing(fleet: WiredFleet, name: DisturbanceName, pauseMillis: number, signal: AbortSignal): Promise<number> {
  for (let count = 0; ; count++) {
    await delay(pauseMillis, undefined, { signal }).catch(() => {});
    if (signal.aborted) return count;
    await disturbances[name](fleet, fleet.names[count % fleet.names.length]!);
    await fleet.ready();
  }
}
