import type { Router, RouterOptions } from "../../src/router/index.js";
import { listed, temporaryRouter } from "./router-fixture.js";
import { startScriptedWorker } from "./scripted-worker.js";
import type { ScriptedWorker, ScriptedWorkerOptions } from "./scripted-worker.js";

/** A router and the scripted workers that have joined it. They end with their scope. */
export interface ScriptedFleet extends AsyncDisposable {
  readonly router: Router;
  worker(name: string): ScriptedWorker;
  /** Names of the workers that have received calls, in the order in which they joined. */
  called(): string[];
}

/** Starts a router, and workers that join it one after another. Resolves when it lists all of them. */
export async function scriptedFleet(
  members: readonly Omit<ScriptedWorkerOptions, "router">[],
  options: RouterOptions = {},
): Promise<ScriptedFleet> {
  const router = await temporaryRouter(options);
  const workers = new Map<string, ScriptedWorker>();
  for (const member of members) workers.set(member.name, await startScriptedWorker({ ...member, router: router.address }));
  await listed(router, ...workers.keys());
  return {
    router,
    worker: (name) => workers.get(name)!,
    called: () => [...workers.values()].filter(({ calls }) => calls.length > 0).map(({ name }) => name),
    async [Symbol.asyncDispose]() {
      for (const worker of workers.values()) await worker[Symbol.asyncDispose]();
      await router.close();
    },
  };
}
