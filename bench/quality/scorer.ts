import { openNativeEngine, Tokenizer, type Engine, type EngineOptions } from "@polygraft/worker";
import type { Scores } from "./compare.js";

/** An engine on one variant of a model that scores texts. */
export class Scorer {
  readonly #engine: Engine;
  readonly #tokenizer: Tokenizer;

  private constructor(engine: Engine, tokenizer: Tokenizer) {
    this.#engine = engine;
    this.#tokenizer = tokenizer;
  }

  /** `tokenizer`: the model to take the tokenizer of. */
  static async open(model: string, options: EngineOptions, tokenizer = model): Promise<Scorer> {
    // Every token is computed, and few at a time: what is measured needs no room for thousands of streams.
    const engine = await openNativeEngine({ modelDir: model, maxContext: 512, maxSequences: 16, prefixCache: false, ...options });
    return new Scorer(engine, await Tokenizer.load(tokenizer));
  }

  /** How the layers are held. */
  get weights(): string {
    return this.#engine.info.weights;
  }

  encode(text: string): Uint32Array {
    return Uint32Array.from(this.#tokenizer.encode(text));
  }

  /** The slot of an adapter, for `score`. */
  async attach(folder: string): Promise<number> {
    const adapter = await this.#engine.openAdapter(folder);
    const slot = await this.#engine.attachAdapter(adapter, folder);
    adapter.close();
    return slot;
  }

  /** Scores every text by itself. `slot`: of an adapter; absent: the base. */
  async score(texts: readonly string[], slot?: number): Promise<Scores> {
    const parts = await Promise.all(texts.map((text) => this.#scoreText(text, slot)));
    return {
      logprobs: Float64Array.from(parts.flatMap(({ logprobs }) => logprobs)),
      best: Uint32Array.from(parts.flatMap(({ best }) => best)),
    };
  }

  async close(): Promise<void> {
    await this.#engine.close();
  }

  #scoreText(text: string, slot: number | undefined): Promise<{ readonly logprobs: number[]; readonly best: number[] }> {
    const prompt = this.encode(text);
    const request = { prompt, maxTokens: 0, promptLogprobs: true, topLogprobs: 1, ...(slot === undefined ? {} : { adapterSlot: slot }) };
    const logprobs: number[] = [];
    const best: number[] = [];
    let first = true;
    return new Promise((resolve, reject) => {
      this.#engine.submit(request, {
        started: () => {},
        promptScore: (_, logprob, top) => {
          // Nothing stands before the first token that could tell of it.
          if (!first) {
            logprobs.push(logprob);
            best.push(top[0]?.tokenId ?? -1);
          }
          first = false;
        },
        token: () => {},
        finished: () => resolve({ logprobs, best }),
        failed: reject,
      });
    });
  }
}
