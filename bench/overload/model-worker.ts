import { createServer } from "node:http2";
import type { Http2Server, ServerHttp2Session, ServerHttp2Stream } from "node:http2";
import type { AddressInfo } from "node:net";
import { acceptedMessage, finishedMessage, tokenMessage } from "../relay/message.js";

/** How a worker of the model works. */
export interface ModelWorkerOptions {
  /** Sequences in a step. */
  readonly sequences: number;
  /** Requests that wait behind them; more are refused with RESOURCE_EXHAUSTED. */
  readonly queue: number;
  readonly stepMillis: number;
  /** Steps that a request takes. */
  readonly tokens: number;
  /** Begins and ends responses with the events that the SDK expects. Default: false. */
  readonly events?: boolean;
}

interface Sequence {
  readonly stream: ServerHttp2Stream;
  sent: number;
}

/**
 * Continuous batching without the arithmetic: each step gives one token to each running sequence, a sequence that ends
 * makes room for the one that waits longest, and one whose client leaves is freed at once.
 */
export class ModelWorker {
  readonly #options: ModelWorkerOptions;
  readonly #server: Http2Server = createServer({ settings: { maxConcurrentStreams: 100_000 } });
  readonly #sessions = new Set<ServerHttp2Session>();
  readonly #sequences = new Set<Sequence>();
  #timer: NodeJS.Timeout | undefined;

  constructor(options: ModelWorkerOptions) {
    this.#options = options;
    this.#server.on("session", (session) => {
      this.#sessions.add(session);
      session.on("error", () => {});
    });
    this.#server.on("stream", (stream) => this.#take(stream));
  }

  /** How busy it is, as workers tell it. */
  get load(): { readonly runningRequests: number; readonly waitingRequests: number; readonly inFlightTokens: number } {
    const { sequences, tokens } = this.#options;
    let inFlightTokens = 0;
    for (const { sent } of this.#sequences) inFlightTokens += tokens - sent;
    const runningRequests = Math.min(this.size, sequences);
    return { runningRequests, waitingRequests: this.size - runningRequests, inFlightTokens };
  }

  /** Sequences that run or wait. */
  get size(): number {
    return this.#sequences.size;
  }

  listen(): Promise<string> {
    this.#timer = setInterval(() => this.#step(), this.#options.stepMillis);
    return new Promise((resolve) => {
      this.#server.listen(0, "127.0.0.1", () => resolve(`127.0.0.1:${(this.#server.address() as AddressInfo).port}`));
    });
  }

  close(): void {
    clearInterval(this.#timer);
    for (const session of this.#sessions) session.destroy();
    this.#server.close();
  }

  #take(stream: ServerHttp2Stream): void {
    stream.on("error", () => {});
    stream.resume();
    const { sequences, queue } = this.#options;
    const head = { ":status": 200, "content-type": "application/grpc" };
    if (this.#sequences.size >= sequences + queue) return stream.respond({ ...head, "grpc-status": "8" }, { endStream: true });
    stream.respond(head, { waitForTrailers: true });
    stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
    const sequence = { stream, sent: 0 };
    this.#sequences.add(sequence);
    stream.on("close", () => this.#sequences.delete(sequence));
  }

  #step(): void {
    let running = 0;
    for (const sequence of this.#sequences) {
      if (running++ === this.#options.sequences) return;
      if (this.#options.events === true && sequence.sent === 0) sequence.stream.write(acceptedMessage);
      sequence.stream.write(tokenMessage);
      if (++sequence.sent < this.#options.tokens) continue;
      sequence.stream.end(this.#options.events === true ? finishedMessage : undefined);
      this.#sequences.delete(sequence);
    }
  }
}
