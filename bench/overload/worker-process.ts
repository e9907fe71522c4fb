import { join } from "node:path";
import { Program } from "../relay/relays/program.js";
import { repository } from "../repository.js";
import type { ModelWorkerOptions } from "./model-worker.js";

/** A model worker, and what it tells whom. */
export interface WorkerProcessOptions extends ModelWorkerOptions {
  readonly name: string;
  /** Router to join. Default: none. */
  readonly router?: string;
  /** Tells the router how busy it is. */
  readonly tellsLoad: boolean;
}

/** A model worker in a process of its own: what clients and the router are busy with must not slow its steps. */
export async function startWorkerProcess(options: WorkerProcessOptions): Promise<{ readonly address: string; stop(): Promise<void> }> {
  const command = [process.execPath, join(repository, "bench/dist/overload/worker-main.js"), JSON.stringify(options)];
  const program = new Program(options.name, command, { pinned: false });
  const [, address = ""] = await program.says(/serving on (\S+)/);
  return { address, stop: () => program.stop() };
}
