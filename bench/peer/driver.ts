import { spawn } from "node:child_process";
import type { ChildProcessWithoutNullStreams } from "node:child_process";
import { createInterface } from "node:readline";
import type { Setup } from "./cases.js";
import { parseReply, setupLine } from "./protocol.js";
import type { Reply } from "./protocol.js";

/** Something that can be measured case by case. */
export interface Contender {
  readonly name: string;
  /** Brings a case to where it can be measured; says how it will run, or why it cannot. */
  setup(setup: Setup): Promise<{ readonly note: string } | { readonly unsupported: string }>;
  /** One measurement, in tokens per second. */
  measure(): Promise<number>;
  end(): Promise<void>;
  stop(): Promise<void>;
}

/** A command line. */
export interface DriverCommand {
  readonly command: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

/** A driver that says nothing for so long has hung, in milliseconds. */
const patienceMs = 15 * 60_000;

/** How long a driver may take to end once its input has, in milliseconds. */
const graceMs = 3000;

/** Lines of standard error kept, to explain an early end. */
const keptLines = 20;

/** A program behind the protocol of `drivers/protocol.h`, as a child process. */
export class Driver implements Contender {
  readonly name: string;
  device = "";
  readonly #process: ChildProcessWithoutNullStreams;
  readonly #exited: Promise<void>;
  readonly #said: string[] = [];
  #answer: { resolve(reply: Reply): void; reject(error: Error): void } | undefined;
  #ended: string | undefined;

  private constructor(name: string, { command, args, env }: DriverCommand) {
    this.name = name;
    this.#process = spawn(command, args, { env: { ...process.env, ...env } });
    running.add(this.#process);
    this.#process.stdin.on("error", () => {}); // its exit says more
    createInterface({ input: this.#process.stdout }).on("line", (line) => this.#onLine(line));
    createInterface({ input: this.#process.stderr }).on("line", (line) => this.#keep(line));
    this.#exited = new Promise((resolve) => {
      const over = (how: string): void => {
        running.delete(this.#process);
        this.#ended ??= [`${name} ended ${how}`, ...this.#said].join("\n");
        this.#answer?.reject(new Error(this.#ended));
        resolve();
      };
      this.#process.on("error", (error) => over(`before it began: ${error.message}`));
      this.#process.on("close", (code, signal) => over(signal === null ? `with exit code ${code}` : `by ${signal}`));
    });
  }

  /** Starts a driver; resolves when it has loaded its model. */
  static async start(name: string, command: DriverCommand): Promise<Driver> {
    const driver = new Driver(name, command);
    try {
      const hello = await driver.#next();
      if (!("driver" in hello)) throw unexpected(name, hello);
      driver.device = hello.device;
      return driver;
    } catch (error) {
      await driver.stop();
      throw error;
    }
  }

  async setup(setup: Setup): Promise<{ readonly note: string } | { readonly unsupported: string }> {
    const reply = await this.#ask(setupLine(setup));
    if ("ready" in reply || "unsupported" in reply) return reply;
    throw unexpected(this.name, reply);
  }

  async measure(): Promise<number> {
    const reply = await this.#ask("measure");
    if ("seconds" in reply) return reply.tokens / reply.seconds;
    throw unexpected(this.name, reply);
  }

  async end(): Promise<void> {
    const reply = await this.#ask("end");
    if (!("ended" in reply)) throw unexpected(this.name, reply);
  }

  async stop(): Promise<void> {
    this.#process.stdin.end();
    const timer = setTimeout(() => this.#process.kill("SIGKILL"), graceMs);
    await this.#exited;
    clearTimeout(timer);
  }

  #ask(line: string): Promise<Reply> {
    this.#process.stdin.write(`${line}\n`);
    return this.#next();
  }

  async #next(): Promise<Reply> {
    if (this.#ended !== undefined) throw new Error(this.#ended);
    let timer: NodeJS.Timeout | undefined;
    try {
      return await new Promise<Reply>((resolve, reject) => {
        this.#answer = { resolve, reject };
        timer = setTimeout(() => {
          this.#process.kill("SIGKILL");
          reject(new Error(`${this.name} has not answered for ${patienceMs / 60_000} minutes`));
        }, patienceMs);
      });
    } finally {
      clearTimeout(timer);
      this.#answer = undefined;
    }
  }

  #onLine(line: string): void {
    const reply = parseReply(line);
    if (reply === undefined) this.#keep(line);
    else this.#answer?.resolve(reply);
  }

  #keep(line: string): void {
    this.#said.push(line);
    if (this.#said.length > keptLines) this.#said.shift();
  }
}

const running = new Set<ChildProcessWithoutNullStreams>();
// However this process ends, its drivers do: they may be deep in a computation and not look at their input.
process.on("exit", () => running.forEach((child) => child.kill("SIGKILL")));

function unexpected(name: string, reply: Reply): Error {
  return new Error(`${name}: ${"error" in reply ? reply.error : `unexpected answer ${JSON.stringify(reply)}`}`);
}
