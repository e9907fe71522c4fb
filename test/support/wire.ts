import { connect, createServer as createTcpServer } from "node:net";
import type { AddressInfo, Socket } from "node:net";

/** Wires to a port, all that is connected to `address`, which can be cut or frozen. */
export interface Wire {
  readonly address: string;
  readonly port: number;
  /** Closes all connections without a goodbye. */
  cut(): void;
  /** Lets no byte through any more, in either direction, and closes nothing. */
  freeze(): void;
  /** Takes no new connections. */
  shut(): void;
  /** Both. */
  close(): void;
}

/** Puts wires before a port of this machine. */
export async function startWire(port: number): Promise<Wire> {
  const sockets = new Set<Socket>();
  let frozen = false;
  const server = createTcpServer((near) => {
    const far = connect({ host: "127.0.0.1", port });
    for (const [from, to] of [[near, far] as const, [far, near] as const]) {
      sockets.add(from);
      from.setNoDelay(true);
      from.on("error", () => {});
      from.on("close", () => {
        sockets.delete(from);
        if (!frozen) to.destroy();
      });
      from.on("data", (chunk: Buffer) => {
        if (frozen) return;
        if (!to.write(chunk)) from.pause();
      });
      to.on("drain", () => from.resume());
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const cut = () => {
    for (const socket of sockets) socket.destroy();
  };
  const { port: own } = server.address() as AddressInfo;
  return {
    address: `127.0.0.1:${own}`,
    port: own,
    cut,
    freeze: () => void (frozen = true),
    shut: () => void server.close(),
    close() {
      cut();
      server.close();
    },
  };
}
