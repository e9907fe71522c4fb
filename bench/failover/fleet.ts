import { Polygraft } from "@polygraft/client";
import { ServerProcess } from "../server-process.js";
import { Wire } from "./wire.js";

/** What a fleet consists of. */
export interface FleetSetup {
  readonly model: string;
  readonly adapters: string;
  readonly workers: number;
  /** Arguments of the router beyond its address. */
  readonly routerArguments?: readonly string[];
  /** Arguments of each worker beyond model, adapters and addresses. */
  readonly workerArguments?: readonly string[];
  readonly onLog?: (source: string, line: string) => void;
}

/** A worker, and the wires to and from its machine. */
interface Machine {
  readonly name: string;
  /** From the router to the worker. */
  readonly inward: Wire;
  /** From the worker to the router. */
  readonly outward: Wire;
  process: ServerProcess;
}

/** A router and workers as processes, the workers behind wires that can break. A worker that ends is started again. */
export class WiredFleet implements AsyncDisposable {
  /** "host:port" of the router. */
  readonly address: string;
  /** Streams that another worker went on with, as the router's log says. */
  moved = 0;
  readonly #setup: FleetSetup;
  readonly #router: ServerProcess;
  readonly #machines: Machine[] = [];
  #stopping = false;

  private constructor(setup: FleetSetup, router: ServerProcess, address: string, counted: { moved: () => void }) {
    this.#setup = setup;
    this.#router = router;
    this.address = address;
    counted.moved = () => (this.moved += 1);
  }

  /** Starts all of it; resolves when all workers are ready. */
  static async start(setup: FleetSetup): Promise<WiredFleet> {
    const counted = { moved: () => {} };
    const router = new ServerProcess(["router", "--listen", "127.0.0.1:0", ...(setup.routerArguments ?? [])], (line) => {
      if (line.includes('"stream moved"')) counted.moved();
      setup.onLog?.("router", line);
    });
    const fleet = new WiredFleet(setup, router, `127.0.0.1:${await router.port}`, counted);
    try {
      for (let number = 1; number <= setup.workers; number++) await fleet.#add(`worker-${number}`);
      await fleet.ready();
      return fleet;
    } catch (error) {
      await fleet[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Names of the workers. */
  get names(): readonly string[] {
    return this.#machines.map(({ name }) => name);
  }

  /** Resolves when the router has all workers as ready. */
  async ready(): Promise<void> {
    await this.#until((states) => this.names.every((name) => states.get(name) === "ready"));
  }

  /** Resolves when the router does not have that worker as ready any more. */
  async missed(name: string): Promise<void> {
    await this.#until((states) => states.get(name) !== "ready");
  }

  /** Sends a signal to the process of a worker. */
  signal(name: string, signal: NodeJS.Signals): void {
    this.#machine(name).process.signal(signal);
  }

  /** Lets a machine vanish from the network. */
  vanish(name: string): void {
    const { inward, outward } = this.#machine(name);
    inward.break();
    outward.break();
  }

  /** Brings it back. */
  reappear(name: string): void {
    const { inward, outward } = this.#machine(name);
    inward.mend();
    outward.mend();
  }

  /** Asks a worker to drain. Resolves with what it exited with. */
  async drain(name: string): Promise<number | NodeJS.Signals> {
    const { process } = this.#machine(name);
    process.signal("SIGTERM");
    return process.exited;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping = true;
    const processes = [...this.#machines.map(({ process }) => process), this.#router];
    for (const process of processes) process.signal("SIGKILL");
    await Promise.all(processes.map(({ exited }) => exited));
    for (const { inward, outward } of this.#machines) for (const wire of [inward, outward]) wire.close();
  }

  async #add(name: string): Promise<void> {
    const [inward, outward] = await Promise.all([Wire.open(), Wire.open()]);
    outward.target = Number(this.address.split(":")[1]);
    const machine: Machine = { name, inward, outward, process: this.#launch(name, inward, outward) };
    this.#machines.push(machine);
    void this.#supervise(machine);
    await machine.process.port;
  }

  #launch(name: string, inward: Wire, outward: Wire): ServerProcess {
    const { model, adapters, workerArguments = [], onLog } = this.#setup;
    const addresses = ["--listen", "127.0.0.1:0", "--advertise", inward.address, "--join", outward.address];
    const args = ["worker", "--name", name, "--model", model, "--adapters", adapters, ...addresses, ...workerArguments];
    const process = new ServerProcess(args, (line) => onLog?.(name, line));
    inward.target = undefined;
    process.port.then((port) => (inward.target = port), () => {});
    return process;
  }

  /** Starts the process of a machine again, each time that it ends. */
  async #supervise(machine: Machine): Promise<void> {
    for (;;) {
      await machine.process.exited;
      if (this.#stopping) return;
      machine.process = this.#launch(machine.name, machine.inward, machine.outward);
    }
  }

  #machine(name: string): Machine {
    const machine = this.#machines.find((machine) => machine.name === name);
    if (machine === undefined) throw new Error(`there is no ${name} in this fleet`);
    return machine;
  }

  async #until(fits: (states: ReadonlyMap<string, string>) => boolean): Promise<void> {
    await using client = new Polygraft({ address: this.address });
    for await (const { workers } of client.fleet.watch()) {
      if (fits(new Map(workers.map(({ name, state }) => [name, state])))) return;
    }
  }
}
