import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { DirectServiceDefinition, Tier } from "@polygraft/api";
import type { FollowRequest, FollowResponse } from "@polygraft/api";
import { decodeJwt } from "jose";
import { createChannel, createClient, Metadata } from "nice-grpc";
import { expect, test } from "vitest";
import { merge } from "../../src/router/direct/merge.js";
import { Outbox } from "../../src/router/fleet/outbox.js";
import { deferred } from "../support/deferred.js";
import { listed, temporaryRouter } from "../support/router-fixture.js";
import { announcedAdapter, startScriptedWorker } from "../support/scripted-worker.js";
import { temporaryFolder } from "../support/temporary-folder.js";

type Message = NonNullable<FollowResponse["message"]>;
type Value<Kind> = Extract<Message, { $case: Kind }>["value"];

/** A stream of a client in direct mode. */
function follow(address: string, headers: Readonly<Record<string, string>> = {}) {
  const channel = createChannel(address);
  const outbox = new Outbox<FollowRequest>(10_000);
  const leaving = new AbortController();
  const stream = createClient(DirectServiceDefinition, channel).follow(outbox, { metadata: Metadata(headers), signal: leaving.signal });
  const messages = stream[Symbol.asyncIterator]();
  const kept: Message[] = [];
  return {
    messages,
    ask: (adapterIds: string[], forgottenIds: string[] = []) => void outbox.push({ adapterIds, forgottenIds }),
    /** The next message of that kind that satisfies `when`. Other kinds are kept. */
    async next<Kind extends Message["$case"]>(kind: Kind, when: (value: Value<Kind>) => boolean = () => true): Promise<Value<Kind>> {
      for (;;) {
        const at = kept.findIndex(({ $case }) => $case === kind);
        if (at >= 0) {
          const value = kept.splice(at, 1)[0]?.value as Value<Kind>;
          if (when(value)) return value;
          continue;
        }
        const { done, value } = await messages.next();
        if (done === true) throw new Error("the stream has ended");
        if (value.message !== undefined) kept.push(value.message);
      }
    },
    [Symbol.dispose]() {
      leaving.abort();
      channel.close();
    },
  };
}

const idle = async function* () {};

test("a client is told the rules, a token, the fleet, and of the adapters that it asks about", async () => {
  await using router = await temporaryRouter({ placement: { epsilon: 0.5, floorTokens: 100 } });
  const adapters = [announcedAdapter("a", { tier: Tier.DEVICE }), announcedAdapter("b", { tier: Tier.SOURCE })];
  await using worker = await startScriptedWorker({ router: router.address, name: "w1", adapters, script: idle });
  await listed(router, "w1");
  using client = follow(router.address);
  expect(await client.next("rules")).toEqual({ epsilon: 0.5, floorTokens: 100, hysteresis: 0.5 });
  const { token, validMillis } = await client.next("token");
  expect(validMillis).toBe(60_000);
  expect(decodeJwt(token)).toMatchObject({ iss: "router-1", aud: "polygraft-worker", sub: "127.0.0.1" });
  expect(decodeJwt(token)["tenant"]).toBeUndefined();
  expect(await client.next("fleet")).toMatchObject({ snapshot: true, complete: true, workers: [{ hello: { name: "w1", address: worker.address }, adapters: [] }] });

  client.ask(["a", "b", "c"]);
  expect(await client.next("sightings")).toEqual({
    adapters: [
      { id: "a", rank: 8, bytes: 4096n, holders: [{ worker: "w1", onDevice: true, references: 0 }] },
      // Not held, but known: nobody else could serve it better.
      { id: "b", rank: 8, bytes: 4096n, holders: [{ worker: "w1", onDevice: false, references: 0 }] },
      { id: "c", rank: 0, bytes: 0n, holders: [] },
    ],
  });
  // Of what was not asked about, nothing is told.
  const update = (id: string, tier: Tier) =>
    worker.say({ $case: "residency", value: { snapshot: false, complete: true, adapters: [announcedAdapter(id, { tier })], removedIds: [] } });
  update("z", Tier.DEVICE);
  update("c", Tier.HOST);
  expect((await client.next("sightings")).adapters).toMatchObject([{ id: "c", holders: [{ worker: "w1", onDevice: false }] }]);
  client.ask([], ["a"]);
  client.ask(["z"]);
  expect((await client.next("sightings")).adapters).toMatchObject([{ id: "z" }]);
  update("a", Tier.HOST);
  update("b", Tier.DEVICE);
  expect((await client.next("sightings")).adapters).toMatchObject([{ id: "b", holders: [{ onDevice: true }] }]);
  worker.load({ inFlightTokens: 7 });
  expect((await client.next("fleet")).workers).toMatchObject([{ hello: { name: "w1", epoch: "epoch", address: "" }, load: { inFlightTokens: 7 } }]);
  worker.leave();
  expect((await client.next("sightings", ({ adapters }) => adapters.length === 3)).adapters).toMatchObject(
    ["z", "c", "b"].sort().map(() => ({ holders: [] })),
  );
});

test("tokens are renewed before they expire", async () => {
  await using router = await temporaryRouter({ tokenSeconds: 1 });
  using client = follow(router.address);
  const first = await client.next("token");
  expect(first.validMillis).toBe(1000);
  const second = await client.next("token");
  expect(second.validMillis).toBe(1000);
});

test("with API keys, a token is in the name of its key, whatever headers say", async () => {
  await using folder = await temporaryFolder();
  const apiKeysFile = join(folder.path, "keys");
  await writeFile(apiKeysFile, "key-1\nkey-2\n");
  await using router = await temporaryRouter({ apiKeysFile });
  using stranger = follow(router.address);
  await expect(stranger.messages.next()).rejects.toMatchObject({ code: 16 });
  using friend = follow(router.address, { authorization: "Bearer key-2", "polygraft-tenant": "other", "polygraft-client": "other" });
  const named = expect.stringMatching(/^key [0-9a-f]{12}$/);
  expect(decodeJwt((await friend.next("token")).token)).toMatchObject({ sub: named, tenant: named });
});

test.each([
  ["too many", Array.from({ length: 4097 }, (_, index) => String(index)), /at most 4096/],
  ["too long", ["é".repeat(257)], /1 to 512 bytes/],
  ["empty", [""], /1 to 512 bytes/],
])("ids that are %s are refused", async (_, ids, says) => {
  await using router = await temporaryRouter();
  using client = follow(router.address);
  client.ask(ids);
  await expect(client.next("rules", () => false)).rejects.toMatchObject({ code: 3, details: expect.stringMatching(says) });
});

test("a router that drains ends the stream", async () => {
  const router = await temporaryRouter();
  using client = follow(router.address);
  await client.next("fleet");
  await router.drain();
  await expect(client.next("rules", () => false)).rejects.toThrow();
});

test("merged series keep their own order, are asked for no more than is taken, and end with the first that ends", async () => {
  const gate = deferred();
  let asked = 0;
  async function* eager() {
    for (;;) yield (asked += 1);
  }
  async function* slow() {
    await gate.promise;
    yield -1;
  }
  async function* silent() {
    yield 0;
    await new Promise(() => {});
  }
  const merged = merge(eager(), slow(), silent());
  const heard: number[] = [];
  for (let count = 0; count < 5; count++) heard.push((await merged.next()).value as number);
  expect(heard.filter((value) => value > 0)).toEqual([1, 2, 3, 4]);
  expect(asked).toBeLessThanOrEqual(5);
  gate.resolve();
  for await (const value of merged) heard.push(value);
  expect(heard).toContain(-1);
  await expect(merge(failing()).next()).rejects.toThrow("broken");
});

// oxlint-disable-next-line require-yield
async function* failing(): AsyncGenerator<number> {
  throw new Error("broken");
}
