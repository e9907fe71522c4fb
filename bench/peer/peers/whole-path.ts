import { Polygraft } from "@polygraft/client";
import { LocalFleet } from "polygraft";
import type { Setup } from "../cases.js";
import type { Contender } from "../driver.js";
import type { ModelFiles } from "../model/random-model.js";
import { Random } from "../model/random.js";
import type { PeerContext } from "./peer.js";

/** Polygraft as a service: the SDK in this process, a router and a worker in processes of their own. */
export class WholePath implements Contender {
  readonly name = "whole path";
  readonly #fleet: LocalFleet;
  readonly #client: Polygraft;
  readonly #random = new Random(1);
  readonly #vocabulary: number;
  #setup: Setup | undefined;

  private constructor(fleet: LocalFleet, vocabulary: number) {
    this.#fleet = fleet;
    this.#client = new Polygraft({ address: fleet.address });
    this.#vocabulary = vocabulary;
  }

  static async start({ threads, kvType, adapterType }: PeerContext, { folder, shape }: ModelFiles): Promise<WholePath> {
    const workerArguments = ["--threads", String(threads), "--kv-type", kvType, "--adapter-type", adapterType, "--max-prefill-tokens", "512"];
    const fleet = await LocalFleet.start({ model: folder, workerArguments });
    return new WholePath(fleet, shape.vocabulary);
  }

  async setup(setup: Setup): Promise<{ readonly note: string } | { readonly unsupported: string }> {
    if (setup.kind !== "serve" || setup.adapters > 0) return { unsupported: "the whole path is measured on the base" };
    this.#setup = setup;
    await this.#generate(setup, 2);
    return { note: "" };
  }

  async measure(): Promise<number> {
    if (this.#setup === undefined) throw new Error("measure before setup");
    const start = performance.now();
    const tokens = await this.#generate(this.#setup, this.#setup.tokens);
    return tokens / ((performance.now() - start) / 1000);
  }

  async end(): Promise<void> {
    this.#setup = undefined;
  }

  async stop(): Promise<void> {
    this.#client.close();
    await this.#fleet.stop();
  }

  /** All requests at once, to their ends. Returns how many tokens came. */
  async #generate({ streams, context }: Setup, maxTokens: number): Promise<number> {
    const requests = Array.from({ length: streams }, async () => {
      const prompt = Array.from({ length: context }, () => this.#random.below(this.#vocabulary));
      const { usage } = await this.#client.generate({ prompt, maxTokens, ignoreEos: true, cache: { bypass: true } }).final();
      return usage.outputTokens;
    });
    const tokens = (await Promise.race([Promise.all(requests), this.#fleet.failed])).reduce((sum, count) => sum + count, 0);
    if (tokens !== streams * maxTokens) throw new Error(`${streams} streams came to ${tokens} tokens, not ${maxTokens} each`);
    return tokens;
  }
}
