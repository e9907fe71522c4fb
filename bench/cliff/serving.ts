import { rm } from "node:fs/promises";
import { join } from "node:path";
import { Polygraft } from "@polygraft/client";
import { writePeftAdapter } from "../peer/model/adapter.js";
import type { ModelFiles } from "../peer/model/random-model.js";
import { adapterRank, adapterScaling } from "../peer/shapes.js";
import { ServerProcess } from "../server-process.js";

/** Room beyond the adapters that fit, in adapters: less than one. */
const slack = 0.5;

/** A worker process with more adapters than its device has room for, and a client of it. Ends with its scope. */
export class Serving implements AsyncDisposable {
  readonly client: Polygraft;
  readonly #process: ServerProcess;

  private constructor(process: ServerProcess, port: number) {
    this.#process = process;
    this.client = new Polygraft({ address: `127.0.0.1:${port}` });
  }

  /**
   * Starts a worker whose device holds `fit` of the adapters in `adapters`, which are all of one size, and whose host
   * memory holds all. `more`: further arguments of the worker.
   */
  static async start(model: ModelFiles, adapters: string, fit: number, threads: number, more: readonly string[]): Promise<Serving> {
    let bytes: number;
    {
      await using probe = await Serving.#launch(model, adapters, threads, []);
      bytes = Number((await probe.client.adapters.load(adapterName(0))).bytes);
    }
    return Serving.#launch(model, adapters, threads, ["--adapter-bytes", String(Math.floor((fit + slack) * bytes)), ...more]);
  }

  static async #launch({ folder }: ModelFiles, adapters: string, threads: number, more: readonly string[]): Promise<Serving> {
    const addresses = ["--listen", "127.0.0.1:0", "--threads", String(threads)];
    const errors: string[] = [];
    const process = new ServerProcess(["worker", "--model", folder, "--adapters", adapters, ...addresses, ...more], (line) => {
      if (line.includes('"error"')) errors.push(line);
    });
    try {
      return new Serving(process, await process.port);
    } catch (error) {
      throw new Error(`${(error as Error).message}\n${errors.join("\n")}`, { cause: error });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.client.close();
    this.#process.signal("SIGKILL");
    await this.#process.exited;
  }
}

/** Name of an adapter. */
export function adapterName(index: number): string {
  return `adapter-${index + 1}`;
}

/** Writes so many different adapters of rank 16 on all linear layers below a folder, which is emptied before. */
export async function writeAdapters(folder: string, { shape }: ModelFiles, count: number): Promise<void> {
  await rm(folder, { recursive: true, force: true });
  for (let index = 0; index < count; index++) {
    await writePeftAdapter(shape, index, join(folder, adapterName(index)), { rank: adapterRank, alpha: adapterRank * adapterScaling });
  }
}
