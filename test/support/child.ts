import { fork } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";

/** A child of a script in this folder. It ends with its scope. */
export function child(script: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): ChildProcess & AsyncDisposable {
  const started = fork(new URL(script, import.meta.url), args, { stdio: ["ignore", "pipe", "pipe", "ipc"], env: { ...process.env, ...env } });
  return Object.assign(started, {
    async [Symbol.asyncDispose]() {
      if (started.exitCode !== null || started.signalCode !== null) return;
      started.kill("SIGKILL");
      await once(started, "exit");
    },
  });
}
