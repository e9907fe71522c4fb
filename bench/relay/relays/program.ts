import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { connect, createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { descendants } from "../process-time.js";

/** The core that relays run on. The harness takes the others, where there are any. */
export const relayCore = "0";

/** Whether a program is installed. Debian keeps servers in /usr/sbin, which is on few users' path. */
export function findProgram(name: string): string | undefined {
  const PATH = `${process.env["PATH"] ?? ""}:/usr/sbin:/usr/local/sbin`;
  const found = spawnSync("sh", ["-c", `command -v ${name}`], { encoding: "utf8", env: { ...process.env, PATH } });
  return found.status === 0 ? found.stdout.trim() : undefined;
}

/** A port that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

/** A program that does not outlive this process. */
export class Program {
  readonly #name: string;
  readonly #process;
  readonly #kill = (): void => void this.#process.kill("SIGKILL");
  #said = "";

  /** `pinned`: runs on the relays' core. */
  constructor(name: string, command: readonly string[], { pinned = true } = {}) {
    this.#name = name;
    const isPinned = pinned && findProgram("taskset") !== undefined;
    const [program = "", ...args] = isPinned ? ["taskset", "-c", relayCore, ...command] : command;
    this.#process = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"] });
    this.#process.stdout.on("data", (chunk: Buffer) => (this.#said = (this.#said + chunk.toString()).slice(-8192)));
    this.#process.stderr.on("data", (chunk: Buffer) => (this.#said = (this.#said + chunk.toString()).slice(-8192)));
    this.#process.on("error", (error) => (this.#said += error.message));
    process.on("exit", this.#kill);
  }

  /** It and what it has started. */
  processes(): readonly number[] {
    return this.#process.pid === undefined ? [] : descendants(this.#process.pid);
  }

  /** Waits for a text in what it prints; returns the match. */
  async says(pattern: RegExp): Promise<RegExpExecArray> {
    return this.#until(async () => pattern.exec(this.#said) ?? undefined, `print ${pattern.source}`);
  }

  /** Waits until it accepts connections. */
  async accepts(port: number): Promise<void> {
    await this.#until(() => canConnect(port), `listen on port ${port}`);
  }

  async stop(): Promise<void> {
    process.off("exit", this.#kill);
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    const ended = once(this.#process, "exit");
    this.#process.kill("SIGTERM");
    const timer = setTimeout(this.#kill, 5000);
    await ended;
    clearTimeout(timer);
  }

  async #until<T>(look: () => Promise<T | undefined>, what: string): Promise<T> {
    for (let tries = 0; tries < 200; tries++) {
      const found = await look();
      if (found !== undefined) return found;
      if (this.#process.exitCode !== null) break;
      await sleep(50);
    }
    throw new Error(`${this.#name} did not ${what}; it said:\n${this.#said}`);
  }
}

function canConnect(port: number): Promise<true | undefined> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: "127.0.0.1" });
    socket.on("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.on("error", () => resolve(undefined));
  });
}
