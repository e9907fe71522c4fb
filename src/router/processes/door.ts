import type { ChildProcess } from "node:child_process";
import { createServer } from "node:net";
import type { AddressInfo, Server, Socket } from "node:net";
import { formatAddress, splitAddress } from "../relay/address.js";
import type { FromProcess, ToProcess } from "./messages.js";

/** Connections that wait for a process while there is none. What is more is closed. */
const maxWaiting = 1024;

/**
 * The address that processes share. Gives them the connections in turn, and gives those of a process that ended before it
 * had taken them to another one. (`node:cluster` would lose these: their clients wait until they give up by themselves.)
 */
export class Door {
  readonly #server: Server;
  /** Processes that take clients, the next one first, and what they have not taken yet. */
  readonly #takers = new Map<ChildProcess, Map<number, Socket>>();
  readonly #waiting: Socket[] = [];
  #given = 0;

  private constructor() {
    this.#server = createServer({ pauseOnConnect: true }, (socket) => {
      socket.on("error", () => {});
      this.#give(socket);
    });
  }

  /** Listens at "host:port". Rejects when the address is taken. */
  static async open(listen: string): Promise<Door> {
    const door = new Door();
    await new Promise<void>((resolve, reject) => {
      door.#server.once("error", reject);
      door.#server.listen(splitAddress(listen), () => {
        door.#server.off("error", reject);
        resolve();
      });
    });
    return door;
  }

  /** Where it listens, as "host:port". */
  get address(): string {
    const { address, port } = this.#server.address() as AddressInfo;
    return formatAddress(address, port);
  }

  /** A process takes connections from now on. */
  add(taker: ChildProcess): void {
    this.#takers.set(taker, new Map());
    taker.on("message", (message: FromProcess) => {
      if (message.kind !== "taken") return;
      const given = this.#takers.get(taker);
      // Only this end of it: the process has its own.
      given?.get(message.connection)?.destroy();
      given?.delete(message.connection);
    });
    for (const socket of this.#waiting.splice(0)) this.#give(socket);
  }

  /** A process takes no more. */
  remove(taker: ChildProcess): void {
    const given = this.#takers.get(taker);
    this.#takers.delete(taker);
    for (const socket of given?.values() ?? []) this.#give(socket);
  }

  /** Accepts nothing more. Processes keep what they have. */
  close(): void {
    this.#server.close();
    for (const socket of this.#waiting.splice(0)) socket.destroy();
  }

  #give(socket: Socket): void {
    for (const [taker, given] of this.#takers) {
      if (!taker.connected) continue;
      const connection = ++this.#given;
      // To the end of the line.
      this.#takers.delete(taker);
      this.#takers.set(taker, given);
      given.set(connection, socket);
      const message: ToProcess = { kind: "connection", connection };
      // What cannot be sent is given to another one when the process is removed.
      taker.send(message, socket, { keepOpen: true }, () => {});
      return;
    }
    if (this.#server.listening && this.#waiting.length < maxWaiting) this.#waiting.push(socket);
    else socket.destroy();
  }
}
