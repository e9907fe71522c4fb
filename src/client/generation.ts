import type { CallScope } from "./call-scope.js";
import { cancelled } from "./call-scope.js";
import { Collector } from "./collector.js";
import type { GenerationResult } from "./collector.js";
import { PolygraftError } from "./error.js";
import type { AcceptedEvent, GenerationEvent } from "./events.js";

/**
 * A generation that has been sent off.
 *
 * Consume it once: iterate over it, or over `textStream()`, or await `text()` or `final()`, which read it to its end.
 * `final()` and `text()` may also be asked after an iteration, and as often as wished. The stream is read only as fast as
 * it is consumed; whoever leaves a generation unconsumed should `abort()` it. Leaving an iteration with `break` cancels
 * the call.
 */
export class Generation implements AsyncIterable<GenerationEvent> {
  /** The id under which servers log the request. */
  readonly requestId: string;
  readonly #events: AsyncGenerator<GenerationEvent, void>;
  readonly #first: Promise<IteratorResult<GenerationEvent, void>>;
  readonly #scope: CallScope;
  readonly #collector: Collector;
  readonly #result: Promise<GenerationResult>;
  #settle!: { readonly resolve: (result: GenerationResult) => void; readonly reject: (error: unknown) => void };
  #consumer: "none" | "iteration" | "collection" = "none";

  /** Made by `Polygraft.generate`. */
  constructor(requestId: string, events: AsyncGenerator<GenerationEvent, void>, scope: CallScope) {
    this.requestId = requestId;
    this.#events = events;
    this.#scope = scope;
    this.#collector = new Collector(requestId);
    this.#result = new Promise((resolve, reject) => (this.#settle = { resolve, reject }));
    // The request leaves now, not when somebody begins to read.
    this.#first = events.next();
    // A failure waits for whoever consumes the generation; it must not end a process in which nobody does yet.
    this.#first.catch(ignore);
    this.#result.catch(ignore);
  }

  /** The events, once. A second consumer fails with "ALREADY_CONSUMED". */
  [Symbol.asyncIterator](): AsyncIterator<GenerationEvent, void> {
    this.#claim("iteration");
    return this.#read();
  }

  /** The text of the deltas, once. */
  async *textStream(): AsyncGenerator<string, void> {
    for await (const event of this) {
      if (event.type === "delta" && event.text !== "") yield event.text;
    }
  }

  /** Reads to the end and returns the text. */
  text(): Promise<string> {
    return handled(this.final().then((result) => result.text));
  }

  /** Reads to the end, unless somebody iterates already, and returns all there is to know. */
  final(): Promise<GenerationResult> {
    if (this.#consumer === "none") {
      this.#claim("collection");
      void this.#drain();
    }
    return this.#result;
  }

  /** The first event. Rejects if the request fails before it. Does not count as consumption. */
  get accepted(): Promise<AcceptedEvent> {
    return handled(
      this.#first.then(({ value }) => {
        if (value?.type === "accepted") return value;
        throw new PolygraftError("the stream did not begin with its first event", { code: "INCOMPLETE_STREAM", status: "INTERNAL" });
      }),
    );
  }

  /** Cancels the call. Consumers then fail with "CANCELLED". After the end it does nothing. */
  abort(reason?: unknown): void {
    this.#scope.cancel(cancelled("the generation was aborted", reason));
  }

  #claim(consumer: "iteration" | "collection"): void {
    if (this.#consumer !== "none") {
      throw new PolygraftError(
        "a generation can be consumed once; keep its events, or ask final() for what they add up to",
        { code: "ALREADY_CONSUMED", status: "FAILED_PRECONDITION", requestId: this.requestId },
      );
    }
    this.#consumer = consumer;
  }

  #read(): AsyncIterator<GenerationEvent, void> {
    let pending: Promise<IteratorResult<GenerationEvent, void>> | undefined = this.#first;
    return {
      next: async () => {
        const source = pending ?? this.#events.next();
        pending = undefined;
        return this.#observe(source);
      },
      return: async () => {
        const left = new PolygraftError("the iteration was left before the end of the generation", {
          code: "ABANDONED",
          status: "CANCELLED",
          requestId: this.requestId,
        });
        this.#scope.cancel(left);
        this.#settle.reject(left);
        await this.#events.return().catch(ignore);
        return { done: true, value: undefined };
      },
    };
  }

  async #observe(source: Promise<IteratorResult<GenerationEvent, void>>): Promise<IteratorResult<GenerationEvent, void>> {
    try {
      const result = await source;
      if (result.done === true) this.#settle.resolve(this.#collector.result());
      else this.#collector.add(result.value);
      return result;
    } catch (error) {
      this.#settle.reject(error);
      throw error;
    }
  }

  async #drain(): Promise<void> {
    const events = this.#read();
    try {
      while ((await events.next()).done !== true);
    } catch {
      // Told through the result.
    }
  }
}

/** Lets a promise fail without a listener: its failure is also that of the generation. */
function handled<T>(promise: Promise<T>): Promise<T> {
  promise.catch(ignore);
  return promise;
}

function ignore(): void {}
