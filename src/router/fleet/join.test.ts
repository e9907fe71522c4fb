import { WorkerHello } from "@polygraft/api";
import type { AccessKeys, JoinRequest } from "@polygraft/api";
import type { CallContext } from "nice-grpc";
import { expect, test } from "vitest";
import { manualTimers } from "../../../test/support/manual-timers.js";
import { Fleet } from "./fleet.js";
import { serveJoin } from "./join.js";

const log = { info: () => {}, warn: () => {}, error: () => {} };

test("a worker is told of new keys, and joins anew if they find no room", async () => {
  const fleet = new Fleet();
  const listeners = new Set<() => void>();
  const changeKeys = () => listeners.forEach((listener) => listener());
  const named: AccessKeys = { keys: [], required: true, tokenSeconds: 60, unixMillis: 0n };
  const tokens = {
    accessKeys: named,
    onKeysChange(listener: () => void) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
  async function* requests(): AsyncGenerator<JoinRequest> {
    const hello = WorkerHello.fromPartial({ name: "w1", epoch: "e", address: "h:1", model: { name: "tiny" } });
    yield { sequence: 1n, message: { $case: "hello", value: hello } };
    yield { sequence: 2n, message: { $case: "residency", value: { snapshot: true, complete: true, adapters: [], removedIds: [] } } };
    await new Promise(() => {});
  }
  const context = { signal: new AbortController().signal } as CallContext;
  const options = { router: "r", heartbeatMillis: 1000, tokens, needsTls: false };
  const stream = serveJoin(requests(), context, fleet, options, manualTimers(), log);
  const next = async () => (await stream.next()).value?.message?.$case;
  expect([await next(), await next()]).toEqual(["welcome", "accessKeys"]);
  changeKeys();
  expect(await next()).toBe("accessKeys");

  // Hints that it does not read fill up what waits for it, and may be lost. Keys may not.
  const member = fleet.member("w1")!;
  for (let count = 0; count < 2000; count++) member.tell({ message: { $case: "drain", value: { reason: "" } } });
  changeKeys();
  const read = async () => {
    while ((await next()) === "drain");
  };
  await expect(read()).rejects.toMatchObject({ message: expect.stringContaining("join again") });
  expect([fleet.member("w1"), listeners.size]).toEqual([undefined, 0]);
});
