import { connect as connectHttp2, constants } from "node:http2";
import type { ClientHttp2Session, ClientHttp2Stream, OutgoingHttpHeaders } from "node:http2";
import { connect as connectSocket } from "node:net";
import type { Socket } from "node:net";
import type { Timers } from "../timers.js";
import { splitAddress } from "./address.js";
import { keepAlive } from "./keepalive.js";
import type { KeepaliveOptions } from "./keepalive.js";
import { openTlsSocket, tlsPrefix } from "./relay-tls.js";
import type { RelayTls } from "./relay-tls.js";
import { defaultResetLimits, ResetGuard } from "./reset-guard.js";

/** How connections to targets are kept. */
export interface SessionPoolOptions {
  readonly keepalive: KeepaliveOptions;
  /** Milliseconds until a connection that does not come about counts as failed. */
  readonly connectTimeoutMillis: number;
  /** Most bytes that one stream may have on its way to us. The stream of a slow client stops there. */
  readonly streamWindowBytes: number;
  /** Most bytes on their way to us on one connection. */
  readonly sessionWindowBytes: number;
  /** Most bytes of response headers, and of trailers. */
  readonly maxHeaderBytes: number;
}

/** More connections to one target cost more than they bring. */
const maxSessionsPerAddress = 8;

/** A connection and what it carries. */
interface PooledSession {
  readonly session: ClientHttp2Session;
  /** What its peer will bear: clients who leave have their streams reset here, and those of many share one connection. */
  readonly resets: ResetGuard;
  streams: number;
}

/**
 * Connections to targets, by address. One connection carries as many streams as its peer allows, and never more than
 * could all be reset without its end; then another one is opened. A connection that its peer takes leave of (GOAWAY) finishes what it has, and new streams get a new one.
 */
export class SessionPool {
  readonly #options: SessionPoolOptions;
  readonly #timers: Timers;
  readonly #tls: RelayTls;
  readonly #onFailure: (address: string, reason: string) => void;
  readonly #sessions = new Map<string, PooledSession[]>();
  readonly #leaving = new Set<ClientHttp2Session>();
  readonly #addresses = new WeakMap<ClientHttp2Session, string>();

  /** @param onFailure hears why a connection did not come about, or broke */
  constructor(options: SessionPoolOptions, timers: Timers, tls: RelayTls, onFailure: (address: string, reason: string) => void) {
    this.#options = options;
    this.#timers = timers;
    this.#tls = tls;
    this.#onFailure = onFailure;
  }

  /** Most bytes of response headers, and of trailers, that a call takes. */
  get maxHeaderBytes(): number {
    return this.#options.maxHeaderBytes;
  }

  /** Opens a stream. What goes wrong later, even the connection, is told by the stream's "error" and "close". */
  request(address: string, headers: OutgoingHttpHeaders): ClientHttp2Stream {
    const pooled = this.#pick(address);
    const stream = pooled.session.request({ ":authority": authorityOf(address), ...headers });
    pooled.streams += 1;
    stream.once("close", () => {
      pooled.streams -= 1;
      if ((stream.rstCode ?? 0) !== constants.NGHTTP2_NO_ERROR) pooled.resets.allow();
    });
    return stream;
  }

  /** Connections that are open or opening, to all addresses. */
  get size(): number {
    let size = 0;
    for (const sessions of this.#sessions.values()) size += sessions.length;
    return size;
  }

  /** Closes the connections to an address when their streams have ended. */
  forget(address: string): void {
    for (const { session } of this.#sessions.get(address) ?? []) this.#retire(address, session);
  }

  /** Cuts the connections to an address, those that were taken leave of included. */
  abandon(address: string): void {
    const all = [...(this.#sessions.get(address) ?? []).map(({ session }) => session), ...this.#leaving];
    for (const session of all) {
      if (this.#addresses.get(session) === address) session.destroy(new Error("the connection was given up"));
    }
  }

  /** Closes all connections at once. */
  close(): void {
    for (const sessions of this.#sessions.values()) for (const { session } of sessions) session.destroy();
    for (const session of this.#leaving) session.destroy();
    this.#sessions.clear();
  }

  /** A connection with room, a new one, or, at the limit, the one with the fewest streams: it queues what is too much. */
  #pick(address: string): PooledSession {
    const sessions = this.#sessions.get(address) ?? [];
    let fewest: PooledSession | undefined;
    for (const pooled of sessions) {
      const { session, streams } = pooled;
      if (session.closed || session.destroyed) continue;
      const bearable = pooled.resets.left;
      if (bearable < defaultResetLimits.burst / 2) {
        this.#retire(address, session);
        continue;
      }
      const room = session.connecting ? Infinity : (session.remoteSettings.maxConcurrentStreams ?? Infinity);
      if (streams < Math.min(room, bearable)) return pooled;
      if (fewest === undefined || streams < fewest.streams) fewest = pooled;
    }
    if (fewest !== undefined && sessions.length >= maxSessionsPerAddress) return fewest;
    const resets = new ResetGuard(defaultResetLimits, () => this.#timers.now());
    const pooled = { session: this.#connect(address), resets, streams: 0 };
    this.#sessions.set(address, [...(this.#sessions.get(address) ?? []), pooled]);
    return pooled;
  }

  #connect(address: string): ClientHttp2Session {
    const { keepalive, connectTimeoutMillis, streamWindowBytes, sessionWindowBytes } = this.#options;
    const session = connectHttp2(address.startsWith(tlsPrefix) ? "https://target" : "http://target", {
      createConnection: () => openSocket(address, this.#tls),
      settings: { enablePush: false, initialWindowSize: streamWindowBytes },
      maxSessionMemory: 256,
    });
    this.#addresses.set(session, address);
    const cancel = this.#timers.after(connectTimeoutMillis, () => {
      session.destroy(new Error(`no connection within ${connectTimeoutMillis} ms`));
    });
    session.once("connect", () => {
      cancel();
      if (address.startsWith(tlsPrefix) && session.alpnProtocol !== "h2") {
        return void session.destroy(new Error("it speaks TLS, but not HTTP/2 (ALPN)"));
      }
      session.setLocalWindowSize(sessionWindowBytes);
      keepAlive(session, () => this.#isBusy(address, session), keepalive, this.#timers);
    });
    session.once("goaway", () => this.#retire(address, session));
    session.on("error", (error) => {
      this.#onFailure(address, error.message);
      this.#retire(address, session);
    });
    session.once("close", () => {
      cancel();
      this.#retire(address, session);
      this.#leaving.delete(session);
    });
    return session;
  }

  /** Gives no new streams to a session; it closes after its last one. */
  #retire(address: string, session: ClientHttp2Session): void {
    const rest = (this.#sessions.get(address) ?? []).filter((pooled) => pooled.session !== session);
    if (rest.length > 0) this.#sessions.set(address, rest);
    else this.#sessions.delete(address);
    if (session.destroyed) return;
    this.#leaving.add(session);
    session.close();
  }

  #isBusy(address: string, session: ClientHttp2Session): boolean {
    if (this.#leaving.has(session)) return true;
    return (this.#sessions.get(address) ?? []).some((pooled) => pooled.session === session && pooled.streams > 0);
  }
}

const unixPrefix = "unix:";

/** What `:authority` says: a path is no authority. */
function authorityOf(address: string): string {
  if (address.startsWith(unixPrefix)) return "localhost";
  return address.startsWith(tlsPrefix) ? address.slice(tlsPrefix.length) : address;
}

function openSocket(address: string, tls: RelayTls): Socket {
  if (address.startsWith(unixPrefix)) return connectSocket(address.slice(unixPrefix.length));
  const socket = address.startsWith(tlsPrefix) ? openTlsSocket(address, tls) : connectSocket(splitAddress(address));
  return socket.setNoDelay(true);
}
