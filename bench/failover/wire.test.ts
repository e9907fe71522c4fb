import { once } from "node:events";
import { connect, createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { expect, test } from "vitest";
import { Wire } from "./wire.js";

test("a wire carries bytes, carries none while it is broken, and lets go of all when it is mended", async () => {
  const echo = createServer((socket) => void socket.pipe(socket)).listen(0, "127.0.0.1");
  await once(echo, "listening");
  const wire = await Wire.open();
  wire.target = (echo.address() as AddressInfo).port;
  const dial = () => connect({ host: "127.0.0.1", port: Number(wire.address.split(":")[1]) });
  const old = dial();
  old.write("before");
  expect(String((await once(old, "data"))[0])).toBe("before");
  wire.break();
  let heard = 0;
  const fresh = dial();
  for (const socket of [old, fresh]) {
    socket.on("data", () => (heard += 1)).on("error", () => {});
    socket.write("lost");
  }
  await once(fresh, "connect");
  expect([heard, old.closed, fresh.closed]).toEqual([0, false, false]);
  wire.mend();
  await Promise.all([old, fresh].map((socket) => socket.closed || new Promise((resolve) => socket.once("close", resolve))));
  expect(heard).toBe(0);
  const next = dial();
  next.write("after");
  expect(String((await once(next, "data"))[0])).toBe("after");
  next.destroy();
  wire.close();
  echo.close();
});
