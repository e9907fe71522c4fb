import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { expect } from "vitest";
import { child } from "./child.js";

/** An entry of a router's log. */
export interface LogEntry {
  readonly msg: string;
  readonly level: string;
  readonly worker?: string;
  /** Which of several processes says so, or is spoken of. */
  readonly process?: number;
  readonly pid?: number;
}

/** A router as a process of its own, on a free port. It ends with its scope. */
export interface RouterProcess extends AsyncDisposable {
  readonly router: ChildProcess;
  readonly address: string;
  readonly log: readonly LogEntry[];
  /** Resolves with the first entry from `from` on that fits, be it there already or not. */
  said(fits: (entry: LogEntry) => boolean, from?: number): Promise<LogEntry>;
}

/** Starts a router with these options. Resolves when it listens. */
export async function routerProcess(options: object = {}, env: NodeJS.ProcessEnv = {}): Promise<RouterProcess> {
  const router = child("router-process.mjs", [JSON.stringify({ listen: "127.0.0.1:0", ...options })], env);
  const log: LogEntry[] = [];
  const waiting: (() => void)[] = [];
  createInterface({ input: router.stderr! }).on("line", (line) => {
    log.push(line.startsWith("{") ? JSON.parse(line) : { level: "error", msg: line });
    for (const wake of waiting.splice(0)) wake();
  });
  const ended = once(router, "exit").then(([code, signal]) => {
    throw new Error(`the router ended with ${code ?? signal} before it listened: ${JSON.stringify(log)}`);
  });
  const [line] = (await Promise.race([once(createInterface({ input: router.stdout! }), "line"), ended])) as [string];
  ended.catch(() => {});
  const address = /^listening on (127\.0\.0\.1:[0-9]+)$/.exec(line)?.[1];
  expect(address).toBeDefined();
  return {
    router,
    address: address!,
    log,
    async said(fits, from = 0) {
      for (let index = from; ; index++) {
        while (index >= log.length) await new Promise<void>((resolve) => waiting.push(resolve));
        if (fits(log[index]!)) return log[index]!;
      }
    },
    [Symbol.asyncDispose]: () => router[Symbol.asyncDispose](),
  };
}
