import { connect, createServer } from "node:net";
import type { AddressInfo, Server, Socket } from "node:net";

/**
 * A TCP proxy in front of a process, standing in for the network to its machine: while it is broken no byte passes in
 * either direction and nothing is closed, as when a machine loses its power.
 */
export class Wire {
  /** "host:port" of this end. */
  readonly address: string;
  /** Port at the other end; connections that come before it is known are refused. */
  target: number | undefined;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #broken = false;

  private constructor(server: Server) {
    this.#server = server;
    this.address = `127.0.0.1:${(server.address() as AddressInfo).port}`;
    server.on("connection", (near) => this.#join(near));
  }

  static async open(): Promise<Wire> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return new Wire(server);
  }

  /** Lets nothing through from now on. */
  break(): void {
    this.#broken = true;
    for (const socket of this.#sockets) socket.pause();
  }

  /** Works again. What was connected through it is gone, as after a start of the machine. */
  mend(): void {
    this.#broken = false;
    for (const socket of this.#sockets) socket.destroy();
  }

  close(): void {
    this.mend();
    this.#server.close();
  }

  #join(near: Socket): void {
    this.#hold(near);
    if (this.#broken) return void near.pause();
    if (this.target === undefined) return void near.destroy();
    const far = connect({ host: "127.0.0.1", port: this.target, noDelay: true });
    near.setNoDelay(true);
    this.#hold(far);
    for (const [from, to] of [[near, far] as const, [far, near] as const]) {
      from.pipe(to);
      from.on("close", () => this.#broken || to.destroy());
    }
  }

  #hold(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => this.#sockets.delete(socket));
  }
}
