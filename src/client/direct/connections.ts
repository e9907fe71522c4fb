import type { TlsOptions } from "../options.js";
import { Transport } from "../transport.js";

/** Time in which a worker must be reached, in milliseconds. Then its requests go through the router. */
const connectMs = 1000;

/** Time until a worker that was not reached is tried again, in milliseconds. */
const retryMs = 10_000;

/** Most connections to workers. The one that was used least recently gives way. */
const maxConnections = 256;

/** A connection to one worker. */
class Connection {
  readonly transport: Transport;
  #state: "new" | "ready" | "unreachable" = "new";
  #trying: Promise<boolean> | undefined;
  #retryAt = 0;
  #giveUp = () => {};

  constructor(address: string, tls: TlsOptions | undefined) {
    // Its own: after a worker was given up, its next connection must not be the one that may be dead.
    this.transport = new Transport(address, tls, false);
  }

  /** Whether the worker can be called. Nobody waits for one that was out of reach a moment ago. */
  async open(): Promise<boolean> {
    if (this.#state === "ready") return true;
    if (this.#state === "new") return (this.#trying ??= this.#try());
    if (performance.now() >= this.#retryAt) this.#trying ??= this.#try();
    return false;
  }

  /** A call did not get through. */
  failed(): void {
    this.#state = "unreachable";
    this.#retryAt = performance.now() + retryMs;
  }

  /** The worker is gone: who waits for it need not wait any longer. */
  giveUp(): void {
    this.#giveUp();
  }

  async #try(): Promise<boolean> {
    const given = new Promise<never>((_, reject) => (this.#giveUp = reject));
    try {
      await Promise.race([this.transport.ready(Date.now() + connectMs), given]);
      this.#state = "ready";
      return true;
    } catch {
      this.failed();
      return false;
    } finally {
      this.#trying = undefined;
    }
  }
}

/** Connections to the workers that a client calls. Each is opened by its first call. */
export class WorkerConnections {
  readonly #tls: TlsOptions | undefined;
  readonly #needsTls: boolean;
  /** The one used least recently first. */
  readonly #open = new Map<string, Connection>();
  readonly #users = new Map<Transport, number>();
  #closed = false;

  /** `tls`: the client's own, of which the server name is its router's alone. `needsTls`: calls no worker without it. */
  constructor(tls: TlsOptions | undefined, needsTls = false) {
    const { serverName: _, ...rest } = tls ?? {};
    this.#tls = rest;
    this.#needsTls = needsTls;
  }

  /** The connection to a worker, to be given back with `release`. Undefined: it cannot be reached now. */
  async acquire(address: string): Promise<Transport | undefined> {
    if (this.#closed) return undefined;
    const connection = this.#open.get(address) ?? this.#connect(address);
    if (connection === undefined) return undefined;
    this.#open.delete(address);
    this.#open.set(address, connection);
    const { transport } = connection;
    this.#users.set(transport, (this.#users.get(transport) ?? 0) + 1);
    this.#makeRoom();
    if (await connection.open()) return transport;
    this.release(transport);
    return undefined;
  }

  /** A call is over. */
  release(transport: Transport): void {
    const users = (this.#users.get(transport) ?? 1) - 1;
    if (users > 0) {
      this.#users.set(transport, users);
      return;
    }
    this.#users.delete(transport);
    if (!this.#isKept(transport)) transport.close();
  }

  /** A call did not get through to a worker: the next ones go through the router for a while. */
  failed(address: string): void {
    this.#open.get(address)?.failed();
  }

  /** Lets go of a worker that is gone. Calls that still run there end first. */
  forget(address: string): void {
    const connection = this.#open.get(address);
    if (connection === undefined) return;
    this.#open.delete(address);
    connection.giveUp();
    if (!this.#users.has(connection.transport)) connection.transport.close();
  }

  close(): void {
    this.#closed = true;
    for (const address of this.#open.keys()) this.forget(address);
  }

  /** Undefined: not to that address. */
  #connect(address: string): Connection | undefined {
    try {
      const connection = new Connection(address, this.#tls);
      if (connection.transport.address.tls || !this.#needsTls) return connection;
      connection.transport.close();
    } catch {
      // A router should not have told of it, but may be able to call it.
    }
    return undefined;
  }

  #isKept(transport: Transport): boolean {
    for (const connection of this.#open.values()) if (connection.transport === transport) return true;
    return false;
  }

  #makeRoom(): void {
    if (this.#open.size <= maxConnections) return;
    for (const [address, { transport }] of this.#open) {
      if (this.#users.has(transport)) continue;
      this.forget(address);
      return;
    }
  }
}
