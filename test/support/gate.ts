import { connect, createServer } from "node:net";
import type { AddressInfo, Socket } from "node:net";

/** A port at which connections stand but carry nothing, as at a machine that starts, until they are let through. */
export interface Gate extends Disposable {
  readonly address: string;
  /** Resolves when somebody has connected. */
  readonly knocked: Promise<void>;
  /** Lets through to that port of this machine who waits, and who comes. */
  open(port: number): void;
}

/** Puts up a gate that is closed. */
export async function startGate(): Promise<Gate> {
  const sockets = new Set<Socket>();
  const waiting: Socket[] = [];
  let target: number | undefined;
  let knock = () => {};
  const knocked = new Promise<void>((resolve) => (knock = resolve));
  const keep = (socket: Socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => sockets.delete(socket));
  };
  const pass = (near: Socket, port: number) => {
    const far = connect({ host: "127.0.0.1", port });
    keep(far);
    near.pipe(far).pipe(near);
  };
  const server = createServer((near) => {
    keep(near);
    if (target === undefined) waiting.push(near);
    else pass(near, target);
    knock();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    knocked,
    open(port) {
      target = port;
      for (const near of waiting.splice(0)) pass(near, port);
    },
    [Symbol.dispose]() {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}
