import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { DirectServiceDefinition } from "@polygraft/api";
import { decodeProtectedHeader } from "jose";
import { createChannel, createClient, Metadata } from "nice-grpc";
import { expect, test } from "vitest";
import { Outbox } from "../../src/router/fleet/outbox.js";
import { manualTimers } from "../support/manual-timers.js";
import { inferenceClient, listed, temporaryRouter } from "../support/router-fixture.js";
import { temporaryFolder } from "../support/temporary-folder.js";
import { collect, request, temporaryWorker } from "../support/worker-fixture.js";

const bearer = (token: string) => ({ metadata: Metadata({ authorization: `Bearer ${token}` }) });

/** The token that a client in direct mode is given now. */
async function tokenAt(address: string): Promise<string> {
  const channel = createChannel(address);
  try {
    for await (const { message } of createClient(DirectServiceDefinition, channel).follow(new Outbox(1), bearer("key-1"))) {
      if (message?.$case === "token") return message.value.token;
    }
    throw new Error("the stream ended without a token");
  } finally {
    channel.close();
  }
}

test("the key that signs tokens is replaced while router and worker run, and no good token is refused", async () => {
  await using folder = await temporaryFolder();
  const apiKeysFile = join(folder.path, "keys");
  await writeFile(apiKeysFile, "key-1\n");
  const timers = manualTimers();
  // Time moves in leaps here: nobody answers a ping in between.
  const patient = { intervalMillis: 1e9, timeoutMillis: 1e9 };
  await using router = await temporaryRouter({
    apiKeysFile,
    timers,
    tokenSeconds: 60,
    signingKeyHours: 0.01,
    heartbeatMillis: 100,
    suspectAfterMillis: 45_000,
    goneAfterMillis: 45_000,
    wedgedAfterMillis: 1e9,
    relay: { keepalive: patient, clientKeepalive: patient },
  });
  await using tiny = await temporaryWorker({}, { join: [router.address], apiKey: "key-1" });
  await listed(router, "worker-1");
  using through = inferenceClient(router.address);
  const served = async (token: string) => collect(tiny.inference.generate(request("hello"), bearer(token))).then(() => true, () => false);
  const kidOf = (token: string) => decodeProtectedHeader(token).kid;
  /** Lets time pass, and the worker say that it is still there. */
  const pass = async (millis: number) => {
    for (let left = millis; left > 0; left -= 30_000) {
      timers.advance(Math.min(left, 30_000));
      while (router.fleet.member("worker-1")?.heardAt !== timers.now()) await new Promise((resolve) => setImmediate(resolve));
    }
  };
  const joined = router.fleet.member("worker-1");
  const old = await tokenAt(router.address);
  expect(await served(old)).toBe(true);

  // Named, but not in use yet.
  await pass(36_000);
  expect(kidOf(await tokenAt(router.address))).toBe(kidOf(old));
  await pass(60_000);
  const young = await tokenAt(router.address);
  expect(kidOf(young)).not.toBe(kidOf(old));
  expect([await served(young), await served(old)]).toEqual([true, true]);
  expect((await collect(through.client.generate(request("hello"), bearer("key-1")))).finished).toBeDefined();

  // By now the old one's last token has expired on the router's clock; the worker's has hardly moved.
  await pass(70_000);
  while (await served(old));
  expect(await served(young)).toBe(true);
  expect((await collect(through.client.generate(request("hello"), bearer("key-1")))).finished).toBeDefined();
  expect(router.fleet.member("worker-1")).toBe(joined);
});
