import { fork } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { join } from "node:path";
import { repository } from "./repository.js";

const main = join(repository, "src/cli/dist/main.js");

/** A `polygraft` server as a process of its own. It ends with this process. */
export class ServerProcess {
  /** Port where it listens. Rejects if it ends before. */
  readonly port: Promise<number>;
  /** Resolves with exit code or signal when it has ended. */
  readonly exited: Promise<number | NodeJS.Signals>;
  readonly #child: ChildProcess;

  /** `onLog` gets each line of its log. */
  constructor(args: readonly string[], onLog: (line: string) => void) {
    this.#child = fork(main, args, { stdio: ["ignore", "pipe", "pipe", "ipc"], execArgv: [] });
    createInterface({ input: this.#child.stderr! }).on("line", onLog);
    this.exited = once(this.#child, "close").then(([code, signal]) => (code ?? signal) as number | NodeJS.Signals);
    this.port = new Promise((resolve, reject) => {
      createInterface({ input: this.#child.stdout! }).on("line", (line) => {
        const port = /^listening on \S+:(\d+)$/.exec(line)?.[1];
        if (port !== undefined) resolve(Number(port));
      });
      void this.exited.then((how) => reject(new Error(`polygraft ${args[0]} ended with ${how}`)));
    });
    this.port.catch(() => {});
  }

  /** Its process id. */
  get pid(): number {
    return this.#child.pid ?? -1;
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name);
  }
}
