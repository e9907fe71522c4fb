import { connect, constants } from "node:http2";
import type { ClientHttp2Session } from "node:http2";
import { requestFor, tokenMessage } from "../relay/message.js";

/** How a request ended. */
export interface Ending {
  /** gRPC status; 4 if the deadline passed, 14 if there was none. */
  readonly status: number;
  readonly millis: number;
}

/** Who asks. */
export interface Asking {
  ask(): Promise<Ending>;
  close(): void;
}

/** As many adapters as make the shares of two workers about even. */
const requests = Array.from({ length: 64 }, (_, index) => requestFor(`adapter-${index}`));

const path = "/polygraft.v1.InferenceService/Generate";

/** Clients with a deadline that take turns with addresses and do not retry. */
export class Clients implements Asking {
  readonly #sessions: readonly ClientHttp2Session[];
  readonly #deadlineMillis: number;
  readonly #tokens: number;
  #next = 0;

  /** @param tokens messages of a complete response */
  constructor(addresses: readonly string[], deadlineMillis: number, tokens: number) {
    this.#deadlineMillis = deadlineMillis;
    this.#tokens = tokens;
    this.#sessions = addresses.map((address) => connect(`http://${address}`).on("error", () => {}));
  }

  ask(): Promise<Ending> {
    const session = this.#sessions[this.#next++ % this.#sessions.length]!;
    const begun = performance.now();
    const stream = session.request({
      ":method": "POST",
      ":path": path,
      "content-type": "application/grpc",
      te: "trailers",
      "grpc-timeout": `${this.#deadlineMillis}m`,
    });
    stream.end(requests[this.#next % requests.length]);
    let bytes = 0;
    let status = 14;
    const read = (headers: Record<string, unknown>) => {
      if (headers["grpc-status"] !== undefined) status = Number(headers["grpc-status"]);
    };
    stream.on("response", read);
    stream.on("trailers", read);
    stream.on("data", (chunk: Buffer) => (bytes += chunk.length));
    stream.on("error", () => {});
    const timer = setTimeout(() => {
      status = 4;
      stream.close(constants.NGHTTP2_CANCEL);
    }, this.#deadlineMillis);
    return new Promise((resolve) => {
      stream.on("close", () => {
        clearTimeout(timer);
        const whole = bytes === this.#tokens * tokenMessage.length;
        resolve({ status: status === 0 && !whole ? 14 : status, millis: performance.now() - begun });
      });
    });
  }

  close(): void {
    for (const session of this.#sessions) session.destroy();
  }
}
