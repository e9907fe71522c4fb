import { CallScope } from "./call-scope.js";
import { PolygraftError } from "./error.js";
import { errorFromCall } from "./error-from-status.js";
import { callMetadata } from "./metadata.js";
import type { Headers } from "./metadata.js";
import type { CallOptions } from "./options.js";
import type { Method, RpcOptions, Transport } from "./transport.js";
import type { Transports } from "./transports.js";

/** What holds for all calls of a client. */
export interface CallDefaults {
  readonly headers: readonly (Headers | undefined)[];
  readonly timeoutMs: number;
}

/** Makes the calls of one client and keeps track of those that run. */
export class Calls {
  readonly #transports: Transports;
  readonly #defaults: CallDefaults;
  readonly #running = new Set<CallScope>();
  #closed: PolygraftError | undefined;

  constructor(transports: Transports, defaults: CallDefaults) {
    this.#transports = transports;
    this.#defaults = defaults;
  }

  get headers(): readonly (Headers | undefined)[] {
    return this.#defaults.headers;
  }

  /** Begins a call. */
  scope(options: CallOptions): CallScope {
    const timeoutMs = options.timeoutMs ?? this.#defaults.timeoutMs;
    const scope = new CallScope({ signal: options.signal, timeoutMs, running: this.#running });
    if (this.#closed !== undefined) scope.cancel(this.#closed);
    return scope;
  }

  /**
   * A call with one answer. Where a router cannot be reached, the next one is asked, each of them once. Not repeated
   * otherwise: the operations behind it are for operators, who see the failure.
   */
  async unary<Request, Response>(
    method: Method<Request, Response>,
    request: Request,
    options: CallOptions,
    adapter?: string,
  ): Promise<Response> {
    const calls = (transport: Transport, rpc: RpcOptions) => once(transport.unary(method, request, rpc));
    for await (const answer of this.#ask(calls, options, adapter)) return answer;
    throw new Error("a unary call has ended without an answer");
  }

  /** A call with a stream of answers, like `unary` until the first of them. Leaving the iteration cancels it. */
  serverStream<Request, Response>(
    method: Method<Request, Response>,
    request: Request,
    options: CallOptions,
  ): AsyncGenerator<Response, void> {
    return this.#ask((transport, rpc) => transport.serverStream(method, request, rpc), options);
  }

  /** Ends what runs, and whatever is begun later. */
  close(): void {
    const status = "CANCELLED";
    this.#closed ??= new PolygraftError("the client was closed", { code: "CLIENT_CLOSED", status });
    for (const scope of this.#running) scope.cancel(this.#closed);
  }

  /** Makes a call at the router in use; at the next one where that cannot be reached and has not answered. */
  async *#ask<Response>(
    call: (transport: Transport, rpc: RpcOptions) => AsyncIterable<Response>,
    options: CallOptions,
    adapter?: string,
  ): AsyncGenerator<Response, void> {
    const scope = this.scope(options);
    let answered = false;
    try {
      for (let left = this.#transports.count; ; left -= 1) {
        const transport = this.#transports.current;
        try {
          for await (const answer of call(transport, this.#rpc(scope, options))) {
            answered = true;
            yield answer;
          }
          return;
        } catch (failure) {
          const error = errorFromCall(failure, { address: transport.address.target, adapter });
          if (scope.signal.aborted) throw error;
          this.#transports.turnFrom(transport, error);
          if (error.code !== "UNAVAILABLE" || answered || left === 1) throw error;
        }
      }
    } finally {
      scope.end();
    }
  }

  #rpc({ deadline, signal }: CallScope, options: CallOptions): RpcOptions {
    return { metadata: callMetadata([...this.headers, options.headers]), deadline, signal };
  }
}

async function* once<T>(answer: Promise<T>): AsyncGenerator<T, void> {
  yield await answer;
}
