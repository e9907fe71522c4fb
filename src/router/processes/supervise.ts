import { fork } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import type { ResolvedRouterOptions } from "../options.js";
import { until } from "../until.js";
import { Door } from "./door.js";
import { logFields, seatVariable } from "./messages.js";
import type { FromProcess, Seat, ToProcess } from "./messages.js";

/** Waits before starts of a process that follow each other, in milliseconds: doubled from the first to the last. */
const restartMillis = { first: 100, last: 30_000 };

/** A start that held this long, in milliseconds, does not count as a failed one. */
const stableMillis = 60_000;

/** How much longer than they were given for their streams processes may take to end, in milliseconds. */
const graceMillis = 5000;

/** A place for a process, and the one that has it. */
interface Place {
  readonly number: number;
  port: number;
  child: ChildProcess | undefined;
  failures: number;
}

/** The processes of a router. This one holds their address, takes no calls, and starts again what ends by itself. */
export class Processes {
  /** Where clients and workers find them, as "host:port". */
  readonly address: string;
  readonly #options: ResolvedRouterOptions;
  readonly #door: Door;
  readonly #places: readonly Place[];
  readonly #stopping = new AbortController();
  #complete = false;

  private constructor(options: ResolvedRouterOptions, door: Door) {
    this.#options = options;
    this.#door = door;
    this.address = door.address;
    const { processes, processPort } = options;
    this.#places = Array.from({ length: processes }, (_, index) => {
      const port = processPort === undefined ? 0 : processPort + index;
      return { number: index + 1, port, child: undefined, failures: 0 };
    });
  }

  /**
   * Starts them: this program again, with the same arguments. Resolves when all take clients, or when the signal has
   * aborted: Ctrl-C reaches all processes.
   *
   * @throws Error if the address is taken, or if a process ends at its start: it has said why. Nothing is left running then.
   */
  static async start(options: ResolvedRouterOptions, signal: AbortSignal): Promise<Processes> {
    const processes = new Processes(options, await Door.open(options.listen));
    try {
      // One by one: what is wrong with the options is said once.
      for (const place of processes.#places) await processes.#launch(place, false);
      processes.#complete = true;
    } catch (error) {
      await processes.drain();
      if (!signal.aborted) throw error;
    }
    return processes;
  }

  /** Has them drain, and ends those that take too long. Resolves when all have ended. */
  async drain(): Promise<void> {
    this.#stopping.abort();
    this.#door.close();
    const { timers, drainSeconds } = this.#options;
    await Promise.all(
      this.#places.map(async ({ child }) => {
        if (child === undefined) return;
        const ended = once(child, "exit");
        child.kill("SIGTERM");
        const cancel = timers.after(drainSeconds * 1000 + graceMillis, () => child.kill("SIGKILL"));
        await ended;
        cancel();
      }),
    );
  }

  /** Resolves when the process takes clients. Rejects if it ends before. */
  #launch(place: Place, again: boolean): Promise<void> {
    const { log, timers } = this.#options;
    const { number, port } = place;
    const seat: Seat = { number, port, again };
    const [program = "", ...args] = process.argv.slice(1);
    const child = fork(program, args, { env: { ...process.env, [seatVariable]: JSON.stringify(seat) } });
    place.child = child;
    const begin = timers.now();
    log.info("router process started", { ...logFields(place), pid: child.pid ?? 0 });
    return new Promise((resolve, reject) => {
      const ended = (how: string) => {
        place.child = undefined;
        this.#door.remove(child);
        reject(new Error(`router process ${number} ended ${how} before it took clients`));
        if (!this.#complete || this.#stopping.signal.aborted) return;
        if (timers.now() - begin >= stableMillis) place.failures = 0;
        void this.#replace(place, how);
      };
      child.once("exit", (code, signal) => ended(signal === null ? `with exit code ${code}` : `by ${signal}`));
      child.on("error", (error) => {
        if (child.pid === undefined) ended(`at its start: ${error.message}`);
      });
      child.on("message", (message: FromProcess) => {
        if (message.kind === "joinable") this.#joinable(place, message.port);
        if (message.kind !== "open") return;
        this.#door.add(child);
        resolve();
      });
    });
  }

  async #replace(place: Place, how: string): Promise<void> {
    const { log, timers } = this.#options;
    const wait = Math.min(restartMillis.last, restartMillis.first * 2 ** place.failures);
    place.failures += 1;
    log.warn("router process ended; another one takes its place", { ...logFields(place), how, waitMillis: wait });
    await until(this.#stopping.signal, (done) => timers.after(wait, done));
    // Why it did not start it has said by itself; `#launch` has seen to the next try.
    if (!this.#stopping.signal.aborted) await this.#launch(place, true).catch(() => {});
  }

  /** Tells all where workers find them; those that look for this one again need not wait until they try by themselves. */
  #joinable(place: Place, port: number): void {
    place.port = port;
    const ports = this.#places.flatMap((each) => (each.port === 0 ? [] : [each.port]));
    const message: ToProcess = { kind: "ports", ports };
    for (const { child } of this.#places) if (child?.connected === true) child.send(message, () => {});
  }
}
