import { createServer } from "node:http2";
import type { Http2Session } from "node:http2";
import type { AddressInfo } from "node:net";
import { afterEach, expect, test } from "vitest";
import { startGate } from "../../../test/support/gate.js";
import type { Gate } from "../../../test/support/gate.js";
import { WorkerConnections } from "./connections.js";

const cleanups: (() => void)[] = [];
afterEach(() => cleanups.splice(0).forEach((cleanup) => cleanup()));

/** A server on all addresses of the loopback network, so that one process can be many workers. */
async function workers() {
  const sessions = new Set<Http2Session>();
  const waiting = new Set<() => void>();
  const server = createServer();
  server.on("session", (session) => {
    sessions.add(session);
    session.on("error", () => {});
    session.on("close", () => {
      sessions.delete(session);
      for (const wake of waiting) wake();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "0.0.0.0", resolve));
  const { port } = server.address() as AddressInfo;
  const connections = new WorkerConnections(undefined);
  cleanups.push(
    () => connections.close(),
    () => server.close(),
    () => sessions.forEach((session) => session.destroy()),
  );
  return {
    connections,
    address: (index: number) => `127.0.${Math.floor(index / 250)}.${1 + (index % 250)}:${port}`,
    async open(count: number): Promise<void> {
      while (sessions.size !== count) await new Promise<void>((resolve) => waiting.add(resolve));
    },
    get sessions() {
      return sessions.size;
    },
  };
}

test("keeps one connection a worker, and no more than it may", async () => {
  const { connections, address, open } = await workers();
  for (let index = 0; index < 256; index++) {
    const transport = await connections.acquire(address(index));
    if (index > 0) connections.release(transport!);
  }
  const again = await connections.acquire(address(1));
  expect(again).toBe(await connections.acquire(address(1)));
  connections.release(again!);
  await open(256);
  // The first is the one that was used least recently, but in use, like the second; so the third gives way.
  connections.release((await connections.acquire(address(256)))!);
  await open(256);
  const third = await connections.acquire(address(2));
  expect(third).toBeDefined();
  expect(await connections.acquire(address(2))).toBe(third);
});

test("a worker that is gone keeps its connection for the calls that run there", async () => {
  const { connections, address, open } = await workers();
  const [one, two] = [await connections.acquire(address(0)), await connections.acquire(address(0))];
  connections.forget(address(0));
  connections.release(one!);
  await open(1);
  const other = await connections.acquire(address(0));
  expect(other).not.toBe(one);
  await open(2);
  connections.release(two!);
  await open(1);
  connections.release(other!);
  connections.close();
  await open(0);
  expect(await connections.acquire(address(0))).toBeUndefined();
});

test("nobody waits for the connection to a worker that is gone", async () => {
  const connections = new WorkerConnections(undefined);
  using silent = await startGate();
  using left = await startGate();
  const order: string[] = [];
  const acquire = async (name: string, { address }: Gate) => {
    expect(await connections.acquire(address)).toBeUndefined();
    order.push(name);
  };
  // Both would give up after the same time, and this one first.
  const other = acquire("silent", silent);
  await silent.knocked;
  const gone = acquire("left", left);
  await left.knocked;
  connections.forget(left.address);
  await Promise.all([other, gone]);
  expect(order).toEqual(["left", "silent"]);
  connections.close();
});

test("an address that makes no sense, or a worker without TLS where it is needed, is not called", async () => {
  const fleet = await workers();
  expect(await fleet.connections.acquire("no address")).toBeUndefined();
  const careful = new WorkerConnections(undefined, true);
  expect(await careful.acquire(fleet.address(0))).toBeUndefined();
  careful.close();
  expect(fleet.sessions).toBe(0);
});

test("a worker that cannot be reached is left alone for a while, without a wait; a new one at its address is not", async () => {
  const { connections, address } = await workers();
  const nowhere = "127.0.0.1:1";
  expect(await connections.acquire(nowhere)).toBeUndefined();
  const before = performance.now();
  expect(await connections.acquire(nowhere)).toBeUndefined();
  expect(performance.now() - before).toBeLessThan(500);
  const known = await connections.acquire(address(0));
  connections.failed(address(0));
  expect(await connections.acquire(address(0))).toBeUndefined();
  connections.release(known!);
  connections.forget(address(0));
  expect(await connections.acquire(address(0))).toBeDefined();
});
