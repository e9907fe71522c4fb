import type { Socket } from "node:net";
import { clientPreface, flag, frame, FrameReader, frameType, headerBytes, uint32, writeHeader } from "./frames.js";

/** What a connection tells about its streams. */
export interface StreamListener {
  headers(stream: number, isLast: boolean): unknown;
  data(stream: number, bytes: Buffer, start: number, end: number, isLast: boolean): unknown;
  /** The peer has given a stream up. */
  reset(stream: number): void;
  /** The peer lets a stream send that many bytes more. */
  opened(stream: number, bytes: number): void;
  /** The connection is over. */
  closed(): void;
}

/** Ours to receive: as much as HTTP/2 allows, so that only the peer's windows bound a test. */
const largestWindow = 2 ** 31 - 1;
const defaultWindow = 65_535;
/** Received bytes after which the connection's window is filled up again. */
const refillBytes = 1 << 24;
const settingInitialWindow = 4;
const slabBytes = 64 * 1024;

/**
 * One HTTP/2 connection at the level of frames, without an object for a stream or a promise for a message: a load
 * generator has to cost less than what it loads. What is written is gathered until `flush`.
 */
export class Connection {
  /** What may be sent on the connection, and on a stream that is new. */
  sendWindow = defaultWindow;
  initialWindow = defaultWindow;
  readonly #socket: Socket;
  readonly #listener: StreamListener;
  #slab = Buffer.allocUnsafe(slabBytes);
  #used = 0;
  #received = 0;

  constructor(socket: Socket, listener: StreamListener, end: "client" | "server") {
    this.#socket = socket;
    this.#listener = listener;
    socket.setNoDelay(true);
    const window = Buffer.concat([Buffer.from([0, settingInitialWindow]), uint32(largestWindow)]);
    const refill = frame(frameType.windowUpdate, 0, 0, uint32(largestWindow - defaultWindow));
    const preface = end === "client" ? clientPreface : Buffer.alloc(0);
    socket.write(Buffer.concat([preface, frame(frameType.settings, 0, 0, window), refill]));
    const skip = end === "server" ? clientPreface.length : 0;
    const reader = new FrameReader((...heard) => this.#hear(...heard), skip);
    socket.on("data", (chunk: Buffer) => {
      reader.push(chunk);
      this.flush();
    });
    socket.on("error", () => {});
    socket.on("close", () => listener.closed());
  }

  /** Whether the peer does not keep up with what was written. */
  get congested(): boolean {
    return this.#socket.writableLength > 4 * slabBytes;
  }

  /** Room in the slab for a frame; returns where its payload begins. */
  begin(length: number, type: number, flags: number, stream: number): number {
    const bytes = headerBytes + length;
    if (this.#used + bytes > slabBytes) this.flush();
    writeHeader(this.#slab, this.#used, length, type, flags, stream);
    this.#used += bytes;
    return this.#used - length;
  }

  /** Where `begin` says that a payload goes. */
  get slab(): Buffer {
    return this.#slab;
  }

  /** Writes a frame. */
  send(type: number, flags: number, stream: number, payload: Uint8Array): void {
    const at = this.begin(payload.length, type, flags, stream);
    this.#slab.set(payload, at);
  }

  flush(): void {
    if (this.#used === 0) return;
    this.#socket.write(this.#slab.subarray(0, this.#used));
    // What was written belongs to the socket from now on.
    this.#slab = this.#slab.subarray(this.#used);
    if (this.#slab.length < slabBytes) this.#slab = Buffer.allocUnsafe(slabBytes);
    this.#used = 0;
  }

  destroy(): void {
    this.#socket.destroy();
  }

  #hear(type: number, flags: number, stream: number, bytes: Buffer, start: number, end: number): void {
    switch (type) {
      case frameType.data:
        if ((flags & flag.padded) !== 0) throw new Error("padded DATA is not expected from a relay");
        this.#count(end - start);
        this.#listener.data(stream, bytes, start, end, (flags & flag.endStream) !== 0);
        return;
      case frameType.headers:
        this.#listener.headers(stream, (flags & flag.endStream) !== 0);
        return;
      case frameType.reset:
        return this.#listener.reset(stream);
      case frameType.settings:
        return (flags & flag.ack) === 0 ? this.#settings(bytes, start, end) : undefined;
      case frameType.ping:
        return (flags & flag.ack) === 0 ? this.send(frameType.ping, flag.ack, 0, bytes.subarray(start, end)) : undefined;
      case frameType.windowUpdate: {
        const size = bytes.readUInt32BE(start);
        if (stream === 0) this.sendWindow += size;
        return this.#listener.opened(stream, size);
      }
    }
  }

  #settings(bytes: Buffer, start: number, end: number): void {
    for (let at = start; at < end; at += 6) {
      if (bytes.readUInt16BE(at) === settingInitialWindow) this.initialWindow = bytes.readUInt32BE(at + 2);
    }
    this.send(frameType.settings, flag.ack, 0, new Uint8Array());
  }

  #count(bytes: number): void {
    this.#received += bytes;
    if (this.#received < refillBytes) return;
    this.send(frameType.windowUpdate, 0, 0, uint32(this.#received));
    this.#received = 0;
  }
}
