import { fork } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { formatLogLine } from "./log-line.js";

const main = fileURLToPath(new URL("../main.js", import.meta.url));

/** Lines of standard error kept, to explain an early end. */
const keptLines = 20;

/** A server process of this program. It ends when this process ends, however that happens. */
export class Child {
  readonly name: string;
  /** Says how it ended, and the last that it wrote. Never rejects. */
  readonly exited: Promise<string>;
  /** Where it serves. Rejects if it ends before that. */
  readonly listening: Promise<string>;
  readonly #process: ChildProcess;

  /**
   * @param name for messages
   * @param args command line of `polygraft`, such as ["router", "--listen", "127.0.0.1:0"]
   * @param onLog receives each line of its standard error
   */
  constructor(name: string, args: readonly string[], onLog: (line: string) => void) {
    this.name = name;
    // The IPC channel carries no messages: its end tells the child that its parent is gone.
    this.#process = fork(main, args, { stdio: ["ignore", "pipe", "pipe", "ipc"], execArgv: [] });
    const last: string[] = [];
    createInterface({ input: this.#process.stderr! }).on("line", (line) => {
      const shown = formatLogLine(line);
      last.push(shown);
      if (last.length > keptLines) last.shift();
      onLog(shown);
    });
    this.exited = new Promise((resolve) => {
      this.#process.on("close", (code, signal) => {
        const how = signal === null ? `with exit code ${code}` : `by ${signal}`;
        resolve([`${name} ended ${how}`, ...last].join("\n"));
      });
      this.#process.on("error", (error) => resolve(`${name} could not be started: ${error.message}`));
    });
    this.listening = new Promise((resolve, reject) => {
      createInterface({ input: this.#process.stdout! }).on("line", (line) => {
        const address = /^listening on (\S+)$/.exec(line)?.[1];
        if (address !== undefined) resolve(address);
      });
      void this.exited.then((how) => reject(new Error(how)));
    });
    this.listening.catch(() => {});
  }

  get pid(): number | undefined {
    return this.#process.pid;
  }

  get running(): boolean {
    return this.#process.exitCode === null && this.#process.signalCode === null;
  }

  /** Asks it to finish what it has and end; ends it after `graceMs` if it has not. */
  async stop(graceMs: number): Promise<void> {
    if (this.running) this.#process.kill("SIGTERM");
    const timer = setTimeout(() => this.#process.kill("SIGKILL"), graceMs);
    await this.exited;
    clearTimeout(timer);
  }
}
