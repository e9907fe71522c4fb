import { Tier } from "@polygraft/api";
import type { FleetWorker, WatchFleetRequest, WatchFleetResponse } from "@polygraft/api";
import type { Timers } from "../timers.js";
import { until } from "../until.js";
import type { Fleet, FleetListener } from "./fleet.js";
import type { FleetMember } from "./member.js";

/** Changes closer together than this, in milliseconds, are told as one. */
const coalesceMillis = 100;

/** Most workers in one message; with what they hold, far fewer. */
const workersPerMessage = 64;

/**
 * How long loads wait to be told together, in milliseconds: so long that a watcher costs no more the more workers there
 * are. Who comes, leaves or changes state is not made to wait.
 */
function pauseOf(workers: number): number {
  return (coalesceMillis * Math.max(workers, workersPerMessage)) / workersPerMessage;
}

const adaptersPerMessage = 4000;

/** What a watcher has not been told yet: names only, so it never grows beyond the fleet however slow the watcher is. */
class Changes implements FleetListener {
  readonly #residency: boolean;
  readonly dirty = new Set<string>();
  readonly removed = new Set<string>();
  #wake: (() => void) | undefined;
  #urgent = false;

  constructor(residency: boolean) {
    this.#residency = residency;
  }

  changed(member: FleetMember): void {
    this.#urgent = true;
    this.#note(member.name);
  }

  loaded(member: FleetMember): void {
    this.#note(member.name);
  }

  announced(member: FleetMember): void {
    if (this.#residency) this.#note(member.name);
  }

  leaving(member: FleetMember): void {
    this.changed(member);
  }

  left(member: FleetMember): void {
    this.dirty.delete(member.name);
    this.removed.add(member.name);
    this.#urgent = true;
    this.#wake?.();
  }

  /** All that was noted is about to be told. */
  taken(): void {
    this.dirty.clear();
    this.removed.clear();
    this.#urgent = false;
  }

  /** Resolves when there is something to tell, or when the signal aborts. */
  async arrived(signal: AbortSignal): Promise<void> {
    if (this.dirty.size + this.removed.size > 0) return;
    await until(signal, (done) => this.#awaken(done));
  }

  /** Resolves after that many milliseconds, or when there is something that should not wait, or when the signal aborts. */
  async pause(millis: number, timers: Timers, signal: AbortSignal): Promise<void> {
    if (millis <= 0 || this.#urgent) return;
    await until(signal, (done) => {
      const stop = timers.after(millis, done);
      const asleep = this.#awaken(() => {
        if (this.#urgent) done();
      });
      return () => {
        stop();
        asleep();
      };
    });
  }

  #awaken(wake: () => void): () => void {
    this.#wake = wake;
    return () => (this.#wake = undefined);
  }

  #note(name: string): void {
    this.removed.delete(name);
    this.dirty.add(name);
    this.#wake?.();
  }
}

/** Streams the fleet: all of it at first, then what has changed since the last message. Ends when the signal aborts. */
export async function* watchFleet(
  request: WatchFleetRequest,
  signal: AbortSignal,
  fleet: Fleet,
  timers: Timers,
): AsyncGenerator<WatchFleetResponse> {
  const changes = new Changes(request.residency);
  const stop = fleet.listen(changes);
  try {
    let snapshot = true;
    for (const member of fleet.view.members) changes.dirty.add(member.name);
    while (!signal.aborted) {
      yield* tell(changes, fleet, request.residency, snapshot);
      snapshot = false;
      await until(signal, (done) => timers.after(coalesceMillis, done));
      await changes.pause(pauseOf(fleet.view.members.length) - coalesceMillis, timers, signal);
      await changes.arrived(signal);
    }
  } finally {
    stop();
  }
}

function* tell(changes: Changes, fleet: Fleet, residency: boolean, snapshot: boolean): Generator<WatchFleetResponse> {
  const { version, members } = fleet.view;
  const due = members.filter((member) => changes.dirty.has(member.name)).map((member) => describe(member, residency));
  const removedWorkers = [...changes.removed];
  changes.taken();
  const parts = split(due);
  for (const [index, workers] of parts.entries()) {
    const complete = index === parts.length - 1;
    yield { version: BigInt(version), snapshot, complete, workers, removedWorkers: index === 0 ? removedWorkers : [] };
  }
}

/** Portions that stay well below the message limits of gRPC libraries. Never none: an empty fleet is told, too. */
function split(workers: readonly FleetWorker[]): FleetWorker[][] {
  const parts: FleetWorker[][] = [[]];
  let adapters = 0;
  for (const worker of workers) {
    const last = parts.at(-1) ?? [];
    const full = last.length >= workersPerMessage || adapters + worker.adapters.length > adaptersPerMessage;
    if (full && last.length > 0) {
      parts.push([worker]);
      adapters = worker.adapters.length;
    } else {
      last.push(worker);
      adapters += worker.adapters.length;
    }
  }
  return parts;
}

/** A worker as it is now: its last sample, with what the router dispatched since then added. */
function describe(member: FleetMember, residency: boolean): FleetWorker {
  const { sample } = member.tally;
  const held = residency ? [...member.holdings.adapters()].filter(isHeld) : [];
  return {
    hello: member.hello,
    state: member.state,
    load: sample === undefined ? undefined : { ...sample, inFlightTokens: member.inFlightTokens },
    adapters: held,
    leaving: member.leaving,
  };
}

function isHeld(adapter: { readonly residency: readonly { readonly tier: Tier }[] }): boolean {
  const tier = adapter.residency[0]?.tier ?? Tier.UNSPECIFIED;
  return tier !== Tier.SOURCE && tier !== Tier.UNSPECIFIED;
}
