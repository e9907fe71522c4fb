import { once } from "node:events";
import { connect } from "node:net";
import { Connection, type StreamListener } from "./http2/connection.js";
import { flag, frameType } from "./http2/frames.js";
import { requestHeaders } from "./http2/headers.js";
import { Latencies } from "./latencies.js";
import { nowMicros, requestMessage, stampedMicros, stampedNumber, tokenMessage } from "./message.js";

/** A response that is being read. */
interface Reading {
  received: number;
  /** Bytes of a message that has not come whole. */
  rest: Buffer | undefined;
}

/** Streams that are always open. */
export interface TokenLoad {
  start(port: number, streams: number, connections: number): Promise<void>;
  /** Responses that have ended since the last `take`. */
  readonly responses: number;
  /** What was seen since the last call. */
  take(): Seen;
  close(): void;
}

/** What a load has seen since it was last asked. */
export interface Seen {
  /** Microseconds from a message's writing to its reading. */
  readonly latencies: Float64Array;
  readonly responses: number;
  /** Responses that lacked messages, had them out of order, or were reset; and why, of one of them. */
  readonly bad: number;
  readonly why?: string;
}

const path = "/polygraft.v1.InferenceService/Generate";

/** A load at the level of frames: a stream that has ended is followed by the next. */
export class Load implements TokenLoad {
  readonly #tokens: number;
  readonly #clients: LoadClient[] = [];
  readonly #latencies = new Latencies();
  #responses = 0;
  #bad = 0;
  #why: string | undefined;
  /** When the bytes being read came: a look at the clock for each read of a socket, not for each token. */
  #now = 0;

  /** @param tokens messages of each response */
  constructor(tokens: number) {
    this.#tokens = tokens;
  }

  async start(port: number, streams: number, connections: number): Promise<void> {
    for (let index = 0; index < connections; index++) {
      const socket = connect({ port, host: "127.0.0.1" });
      await once(socket, "connect");
      socket.prependListener("data", () => (this.#now = nowMicros()));
      const share = Math.floor(streams / connections) + (index < streams % connections ? 1 : 0);
      this.#clients.push(new LoadClient(new Connection(socket, this.#listener(() => this.#clients[index]!), "client"), share, port));
    }
    for (const client of this.#clients) client.fill();
  }

  get responses(): number {
    return this.#responses;
  }

  take(): Seen {
    const seen = { latencies: this.#latencies.take(), responses: this.#responses, bad: this.#bad, ...(this.#why === undefined ? {} : { why: this.#why }) };
    this.#responses = this.#bad = 0;
    return seen;
  }

  close(): void {
    for (const { connection } of this.#clients) connection.destroy();
  }

  #listener(client: () => LoadClient): StreamListener {
    return {
      headers: (id, isLast) => isLast && this.#end(client(), id),
      data: (id, bytes, start, end, isLast) => {
        const reading = client().readings.get(id);
        if (reading !== undefined) this.#read(reading, bytes, start, end);
        if (isLast) this.#end(client(), id);
      },
      reset: (id) => this.#end(client(), id),
      opened: () => {},
      closed: () => {
        for (const id of client().readings.keys()) this.#judge(client(), id);
        client().readings.clear();
      },
    };
  }

  #read(reading: Reading, bytes: Buffer, start: number, end: number): void {
    let from = bytes;
    let at = start;
    let last = end;
    if (reading.rest !== undefined) {
      from = Buffer.concat([reading.rest, bytes.subarray(start, end)]);
      at = 0;
      last = from.length;
      reading.rest = undefined;
    }
    for (; last - at >= tokenMessage.length; at += tokenMessage.length) {
      if (stampedNumber(from, at) !== reading.received) reading.received = NaN;
      reading.received += 1;
      this.#latencies.add(this.#now - stampedMicros(from, at));
    }
    if (at < last) reading.rest = Buffer.from(from.subarray(at, last));
  }

  #end(client: LoadClient, id: number): void {
    if (!client.readings.has(id)) return;
    this.#judge(client, id);
    client.readings.delete(id);
    client.fill();
  }

  #judge({ readings }: LoadClient, id: number): void {
    const { received = 0 } = readings.get(id) ?? {};
    this.#responses += 1;
    if (received === this.#tokens) return;
    this.#bad += 1;
    this.#why ??= `a response had ${Number.isNaN(received) ? "messages out of order" : `${received} of ${this.#tokens} messages`}`;
  }
}

/** One connection of a load. */
class LoadClient {
  readonly connection: Connection;
  readonly readings = new Map<number, Reading>();
  readonly #streams: number;
  readonly #headers: Buffer;
  #next = 1;

  constructor(connection: Connection, streams: number, port: number) {
    this.connection = connection;
    this.#streams = streams;
    this.#headers = requestHeaders(path, `127.0.0.1:${port}`);
  }

  /** Opens streams until there are as many as there should be. */
  fill(): void {
    while (this.readings.size < this.#streams) {
      this.readings.set(this.#next, { received: 0, rest: undefined });
      this.connection.send(frameType.headers, flag.endHeaders, this.#next, this.#headers);
      this.connection.send(frameType.data, flag.endStream, this.#next, requestMessage);
      this.#next += 2;
    }
    this.connection.flush();
  }
}
