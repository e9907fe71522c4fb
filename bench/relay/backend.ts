import { createServer } from "node:net";
import type { AddressInfo, Server, Socket } from "node:net";
import { Connection, type StreamListener } from "./http2/connection.js";
import { flag, frameType } from "./http2/frames.js";
import { responseHeaders, successTrailers } from "./http2/headers.js";
import { acceptedMessage, finishedMessage, nowMicros, stamp, tokenMessage } from "./message.js";

/** A response that is being sent. */
interface Response {
  readonly id: number;
  sent: number;
  window: number;
}

/**
 * What stands for a worker: each step sends one message of each response, in a DATA frame of its own, as continuous
 * batching does. It keeps to the windows of its peer.
 */
export class Backend {
  readonly #tokens: number;
  readonly #server: Server;
  readonly #peers = new Set<BackendPeer>();

  /**
   * @param tokens messages of a response
   * @param isWhole begins and ends a response with the events that a client which reads them expects
   */
  constructor(tokens: number, isWhole = false) {
    this.#tokens = tokens;
    this.#server = createServer((socket) => {
      const peer = new BackendPeer(socket, this.#tokens, isWhole, () => this.#peers.delete(peer));
      this.#peers.add(peer);
    });
  }

  listen(): Promise<number> {
    return new Promise((resolve) => {
      this.#server.listen(0, "127.0.0.1", () => resolve((this.#server.address() as AddressInfo).port));
    });
  }

  /** Sends one message of each response that has room. */
  step(): void {
    const now = nowMicros();
    for (const peer of this.#peers) peer.step(now);
  }

  close(): void {
    this.#server.close();
    for (const peer of this.#peers) peer.close();
  }
}

/** A connection of a relay, or of a client, to the backend. */
class BackendPeer {
  readonly #tokens: number;
  readonly #isWhole: boolean;
  readonly #connection: Connection;
  readonly #responses = new Map<number, Response>();

  constructor(socket: Socket, tokens: number, isWhole: boolean, onClose: () => void) {
    this.#tokens = tokens;
    this.#isWhole = isWhole;
    const listener: StreamListener = {
      headers: (id, isLast) => isLast && this.#begin(id),
      data: (id, _bytes, _start, _end, isLast) => isLast && this.#begin(id),
      reset: (id) => void this.#responses.delete(id),
      opened: (id, bytes) => {
        const response = this.#responses.get(id);
        if (response !== undefined) response.window += bytes;
      },
      closed: onClose,
    };
    this.#connection = new Connection(socket, listener, "server");
  }

  step(now: number): void {
    const connection = this.#connection;
    if (connection.congested) return;
    const size = tokenMessage.length;
    for (const response of this.#responses.values()) {
      if (response.sent === this.#tokens) {
        if (this.#isWhole) this.#frame(response.id, finishedMessage);
        connection.send(frameType.headers, flag.endHeaders | flag.endStream, response.id, successTrailers);
        this.#responses.delete(response.id);
        continue;
      }
      if (response.window < size || connection.sendWindow < size) continue;
      response.window -= size;
      connection.sendWindow -= size;
      const at = connection.begin(size, frameType.data, 0, response.id);
      connection.slab.set(tokenMessage, at);
      stamp(connection.slab, at, response.sent, now);
      response.sent += 1;
    }
    connection.flush();
  }

  close(): void {
    this.#connection.destroy();
  }

  #begin(id: number): void {
    this.#connection.send(frameType.headers, flag.endHeaders, id, responseHeaders);
    if (this.#isWhole) this.#frame(id, acceptedMessage);
    this.#responses.set(id, { id, sent: 0, window: this.#connection.initialWindow });
  }

  /** What comes before or after the tokens. So small that a stream always has room for it. */
  #frame(id: number, message: Buffer): void {
    this.#connection.sendWindow -= message.length;
    this.#connection.send(frameType.data, 0, id, message);
  }
}
