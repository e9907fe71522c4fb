import { availableParallelism } from "node:os";
import { Polygraft } from "@polygraft/client";
import { clientOptions } from "../client-options.js";
import type { ConnectionOptions } from "../client-options.js";
import { Child } from "./child.js";
import { checkFleetTls, connectionTo, routerTlsArguments, workerTlsArguments } from "./fleet-tls.js";
import type { FleetTls } from "./fleet-tls.js";

/** What a local fleet consists of. */
export interface LocalFleetOptions {
  /** Folder of the base model. */
  readonly model: string;
  /** Folder below which every PEFT folder is an adapter. */
  readonly adapters?: string | undefined;
  /** Worker processes. Default: 1. */
  readonly workers?: number;
  /** Workers are named by it and a number from 1. Placement hashes these names. Default: "worker-". */
  readonly workerPrefix?: string;
  /** Where the router listens. Default: a free port of 127.0.0.1. */
  readonly listen?: string;
  /** Certificates of router and workers. Default: none, plain HTTP/2. */
  readonly tls?: FleetTls;
  /** Appended to each worker's command line. */
  readonly workerArguments?: readonly string[];
  /** Appended to the router's command line. */
  readonly routerArguments?: readonly string[];
  /** Starts a process again that ended by itself. Default: false: `failed` then rejects. */
  readonly restart?: boolean;
  /** Receives what processes write to standard error, and what happens to them. */
  readonly onLog?: (source: string, line: string) => void;
  /** Stops the start. */
  readonly signal?: AbortSignal;
}

/** How long processes may take to finish when they are stopped, in milliseconds. */
const graceMs = 10_000;

/** How long they may finish running streams, in seconds. Less than `graceMs`, so that they end by themselves. */
const drainSeconds = "5";

/** Waits before starts that follow each other, in milliseconds: doubled from the first to the last. */
const restartBackoffMs = { first: 500, last: 30_000 };

/** Starts that held this long, in milliseconds, do not count as following each other. */
const stableMs = 60_000;

/** One router and its workers as child processes of this one. */
export class LocalFleet implements AsyncDisposable {
  /** Where the router is, for clients and workers: "host:port", or "https://host:port" if it has a certificate. */
  readonly address: string;
  /** How a client on this machine reaches it. */
  readonly connection: ConnectionOptions;
  /** Rejects when a process ends by itself and is not started again. Never resolves. */
  readonly failed: Promise<never>;
  readonly #options: LocalFleetOptions;
  readonly #children = new Map<string, Child>();
  readonly #stopped = new AbortController();
  #fail!: (error: Error) => void;
  #complete = false;

  private constructor(bound: string, options: LocalFleetOptions) {
    this.connection = connectionTo(bound, options.tls ?? {});
    this.address = this.connection.router ?? bound;
    this.#options = options;
    this.failed = new Promise((_, reject) => (this.#fail = reject));
    this.failed.catch(() => {});
  }

  /**
   * Starts router and workers; resolves when all workers have joined. Whatever goes wrong, nothing is left running.
   *
   * @throws UsageError if the certificates cannot go together, Error if a process ends before it serves.
   */
  static async start(options: LocalFleetOptions): Promise<LocalFleet> {
    const { listen = "127.0.0.1:0", tls = {}, routerArguments = [], signal, workers = 1 } = options;
    checkFleetTls(tls);
    const more = [...routerTlsArguments(tls), ...routerArguments];
    const launch = (at: string): Child =>
      new Child("router", ["router", "--name", "router", "--listen", at, "--drain-seconds", drainSeconds, ...more], (line) => options.onLog?.("router", line));
    const router = launch(listen);
    const bound = await untilAborted(router.listening, signal).catch(async (error: unknown) => {
      await router.stop(graceMs);
      throw error;
    });
    const fleet = new LocalFleet(bound, options);
    try {
      // A router that starts again must be where its workers and clients expect it.
      fleet.#supervise("router", () => launch(bound), router);
      await untilAborted(Promise.race([fleet.#startWorkers(workers), fleet.failed]), signal);
      fleet.#complete = true;
      return fleet;
    } catch (error) {
      await fleet.stop();
      throw error;
    }
  }

  /** Processes by name, for those who look closely. */
  get processIds(): ReadonlyMap<string, number | undefined> {
    return new Map([...this.#children].map(([name, child]) => [name, child.pid]));
  }

  /** Where a worker itself listens. */
  async workerAddress(name: string): Promise<string> {
    const child = this.#children.get(name);
    if (child === undefined) throw new Error(`there is no ${name} in this fleet`);
    return child.listening;
  }

  /** Stops all processes, and waits until they have ended. */
  async stop(): Promise<void> {
    this.#stopped.abort();
    const all = [...this.#children.values()];
    // Workers first: the router then knows that they leave, rather than seeing them vanish.
    await Promise.all(all.filter(({ name }) => name !== "router").map((child) => child.stop(graceMs)));
    await Promise.all(all.map((child) => child.stop(graceMs)));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  async #startWorkers(count: number): Promise<void> {
    const prefix = this.#options.workerPrefix ?? "worker-";
    const names = Array.from({ length: count }, (_, index) => `${prefix}${index + 1}`);
    await Promise.all(names.map((name) => this.#supervise(name, () => this.#launchWorker(name, count)).listening));
    await this.#joined(names);
  }

  #launchWorker(name: string, count: number): Child {
    const { model, adapters, tls = {}, workerArguments = [], onLog } = this.#options;
    const threads = Math.max(1, Math.floor(availableParallelism() / count));
    const args = ["worker", "--name", name, "--model", model, "--join", this.address, "--listen", "127.0.0.1:0"];
    if (adapters !== undefined) args.push("--adapters", adapters);
    args.push("--threads", String(threads), "--drain-seconds", drainSeconds, ...workerTlsArguments(tls), ...workerArguments);
    return new Child(name, args, (line) => onLog?.(name, line));
  }

  /** Keeps a process in the fleet's sight, and alive if so wished. */
  #supervise(name: string, launch: () => Child, child: Child = launch(), failures = 0): Child {
    this.#children.set(name, child);
    this.#options.onLog?.(name, `starting, process ${child.pid}`);
    void this.#replace(child, launch, failures);
    return child;
  }

  async #replace(child: Child, launch: () => Child, failuresBefore: number): Promise<void> {
    const start = performance.now();
    const how = await child.exited;
    if (this.#stopped.signal.aborted) return;
    // What cannot start at all would not start a second time either: the reason is the model or the command line.
    if (this.#options.restart !== true || !this.#complete) return this.#fail(new Error(how));
    const { name } = child;
    const failures = performance.now() - start < stableMs ? failuresBefore : 0;
    const delay = Math.min(restartBackoffMs.first * 2 ** failures, restartBackoffMs.last);
    this.#options.onLog?.(name, `${how}\nstarting it again in ${delay / 1000} s`);
    const timer = setTimeout(() => this.#supervise(name, launch, launch(), failures + 1), delay);
    this.#stopped.signal.addEventListener("abort", () => clearTimeout(timer), { once: true });
  }

  async #joined(names: readonly string[]): Promise<void> {
    await using client = new Polygraft(await clientOptions(this.connection));
    for await (const { workers } of client.fleet.watch({ signal: this.#stopped.signal })) {
      const ready = new Set(workers.filter(({ state }) => state === "ready").map(({ name }) => name));
      if (names.every((name) => ready.has(name))) return;
    }
  }
}

/** Waits for a promise, but no longer than the signal allows. */
async function untilAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise;
  signal.throwIfAborted();
  let onAbort!: () => void;
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () => reject(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
  });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}
