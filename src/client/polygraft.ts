import { randomUUID } from "node:crypto";
import { Adapters } from "./adapters.js";
import { Calls } from "./calls.js";
import { Direct } from "./direct/direct.js";
import { PolygraftError } from "./error.js";
import { Fleet } from "./fleet.js";
import { generateEvents } from "./generate-events.js";
import { Generation } from "./generation.js";
import { asciiHeader } from "./metadata.js";
import type { CallOptions, GenerateOptions, PolygraftOptions } from "./options.js";
import type { GenerateRequest } from "./request.js";
import { RetryBudget } from "@polygraft/placement";
import { retryPolicy } from "./retry.js";
import { Transports } from "./transports.js";

/**
 * A client of one fleet, through its routers, or of one worker. Making it does no I/O; the first call connects, and a lost connection is
 * made anew. One client serves any number of calls at once.
 *
 * @example
 * await using client = new Polygraft({ address: "127.0.0.1:50051" });
 * for await (const text of client.generate({ adapter: "acme/support", prompt: "Hello" }).textStream()) {
 *   process.stdout.write(text);
 * }
 */
export class Polygraft implements AsyncDisposable {
  /** Which adapters exist, where they are, and moving them. */
  readonly adapters: Adapters;
  /** Who serves. */
  readonly fleet: Fleet;
  readonly #transports: Transports;
  readonly #calls: Calls;
  readonly #retries = new RetryBudget();
  readonly #direct: Direct | undefined;
  readonly #options: PolygraftOptions;

  constructor(options: PolygraftOptions = {}) {
    const apiKey = options.apiKey ?? process.env["POLYGRAFT_API_KEY"];
    this.#options = options;
    const address = options.address ?? process.env["POLYGRAFT_ADDRESS"]?.split(",") ?? "127.0.0.1:50051";
    this.#transports = new Transports(typeof address === "string" ? [address] : address, options.tls);
    this.#calls = new Calls(this.#transports, {
      headers: [options.headers, authorization(apiKey)],
      timeoutMs: options.timeoutMs ?? 600_000,
    });
    const isDirect = options.direct ?? ["1", "true"].includes(process.env["POLYGRAFT_DIRECT"] ?? "");
    this.#direct = isDirect
      ? new Direct({ transports: this.#transports, headers: this.#calls.headers, tls: options.tls })
      : undefined;
    this.adapters = new Adapters(this.#calls);
    this.fleet = new Fleet(this.#calls);
  }

  /** Connects now, to find a wrong address at the start of a program. Rejects with "UNAVAILABLE" after `timeoutMs` (default: 5,000). */
  async connect({ timeoutMs = 5_000, signal }: Pick<CallOptions, "timeoutMs" | "signal"> = {}): Promise<void> {
    const scope = this.#calls.scope({ timeoutMs, ...(signal === undefined ? {} : { signal }) });
    const cancelled = new Promise<never>((_, reject) => {
      scope.signal.addEventListener("abort", () => reject(scope.signal.reason), { once: true });
    });
    cancelled.catch(() => {});
    try {
      scope.signal.throwIfAborted();
      await Promise.race([this.#transports.ready(scope.deadline), cancelled]);
      await this.#direct?.connect(scope.deadline, scope.signal);
    } catch (failure) {
      if (failure instanceof PolygraftError) throw failure;
      const target = this.#transports.targets;
      throw new PolygraftError(`cannot reach a polygraft server at ${target} within ${timeoutMs} ms`, {
        code: "UNAVAILABLE",
        status: "UNAVAILABLE",
        retryable: true,
        cause: failure,
      });
    } finally {
      scope.end();
    }
  }

  /**
   * Sends a request off and returns at once. Every failure, a wrong request included, comes when the generation is
   * consumed, as a `PolygraftError`.
   */
  generate(request: GenerateRequest, options: GenerateOptions = {}): Generation {
    const requestId = request.requestId ?? randomUUID();
    const scope = this.#calls.scope(options);
    const events = generateEvents({
      transports: this.#transports,
      direct: this.#direct,
      request,
      requestId,
      options,
      headers: [...this.#calls.headers, options.headers],
      retries: this.#retries,
      retry: retryPolicy(this.#options.retry, options.retry),
      scope,
    });
    return new Generation(requestId, events, scope);
  }

  /** Ends running calls with "CLIENT_CLOSED" and the connection. Later calls fail the same way. */
  close(): void {
    this.#calls.close();
    this.#direct?.close();
    this.#transports.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }
}

function authorization(apiKey: string | undefined): Readonly<Record<string, string>> {
  if (apiKey === undefined || apiKey === "") return {};
  const header = asciiHeader("authorization", `Bearer ${apiKey}`);
  if (!("authorization" in header)) {
    throw new PolygraftError("the API key contains characters other than printable ASCII, perhaps a line break at its end", {
      code: "INVALID_REQUEST",
      status: "INVALID_ARGUMENT",
      fields: [{ field: "apiKey", description: "must be printable ASCII" }],
    });
  }
  return header;
}
