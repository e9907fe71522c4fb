import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { DirectServiceDefinition } from "@polygraft/api";
import { createChannel, createClient, Metadata, Status } from "nice-grpc";
import { expect, test } from "vitest";
import { Outbox } from "../../src/router/fleet/outbox.js";
import { deferred } from "../support/deferred.js";
import { manualTimers } from "../support/manual-timers.js";
import { hear, inferenceClient, listed, temporaryRouter, textRequest } from "../support/router-fixture.js";
import { temporaryFolder } from "../support/temporary-folder.js";
import { temporaryWorker } from "../support/worker-fixture.js";

/** A stream to a client in direct mode, once it has begun; `ended` says how. */
async function followed(address: string, key: string) {
  const channel = createChannel(address);
  const first = deferred();
  const ended = (async () => {
    try {
      const metadata = Metadata({ authorization: `Bearer ${key}` });
      for await (const _ of createClient(DirectServiceDefinition, channel).follow(new Outbox(1), { metadata })) first.resolve();
    } catch (error) {
      return error as Error;
    } finally {
      channel.close();
    }
    return undefined;
  })();
  await Promise.race([first.promise, ended]);
  return { ended };
}

test("keys are replaced while router and worker run", async () => {
  await using folder = await temporaryFolder();
  const [apiKeysFile, apiKeyFile] = [join(folder.path, "keys"), join(folder.path, "worker-key")];
  const timers = manualTimers();
  const said: string[] = [];
  let heard = deferred();
  const entry = (message: string) => {
    said.push(message);
    if (message.includes("API keys")) heard.resolve();
  };
  const log = { info: entry, warn: entry, error: entry };
  /** Replaces the router's keys, and resolves when it has looked at them. */
  const replace = async (text: string) => {
    heard = deferred();
    await writeFile(apiKeysFile, text);
    timers.advance(10_000);
    await heard.promise;
  };
  await writeFile(apiKeysFile, "old\n");
  await writeFile(apiKeyFile, "old\n");
  await using router = await temporaryRouter({ apiKeysFile, timers, log });
  await using tiny = await temporaryWorker({}, { join: [router.address], apiKeyFile });
  await listed(router, "worker-1");
  using connection = inferenceClient(router.address);
  const ask = async (key: string) =>
    (await hear(connection.client.generate(textRequest("a"), { metadata: Metadata({ authorization: `Bearer ${key}` }) }))).error;
  const ofOld = await followed(router.address, "old");
  expect([await ask("old"), await ask("new")]).toEqual([undefined, expect.objectContaining({ code: Status.UNAUTHENTICATED })]);

  // First both are good, so that whoever uses the old one has time to change.
  await replace("old\nnew\n");
  expect([await ask("old"), await ask("new")]).toEqual([undefined, undefined]);
  const joined = router.fleet.member("worker-1");
  await writeFile(apiKeyFile, "# since today\nnew\n");
  const ofNew = await followed(router.address, "new");

  // A file that was written badly locks nobody out.
  await replace("# nothing\n");
  expect(said.at(-1)).toBe("replaced API keys cannot be used; the old ones stay");
  expect(await ask("old")).toBeUndefined();
  expect(router.fleet.member("worker-1")).toBe(joined);

  // Streams of the old key end, that of the worker too: it joins anew with the new one.
  await replace("new\n");
  expect(await ofOld.ended).toMatchObject({ code: Status.UNAUTHENTICATED, details: "the API key was withdrawn" });
  expect(await ask("old")).toMatchObject({ code: Status.UNAUTHENTICATED });
  while (router.fleet.member("worker-1") === joined) await new Promise((resolve) => setImmediate(resolve));
  await listed(router, "worker-1");
  expect(await ask("new")).toBeUndefined();
  expect(await Promise.race([ofNew.ended, "goes on"])).toBe("goes on");
  expect(tiny.worker.name).toBe("worker-1");
});

test.each([
  ["is missing", undefined, /ENOENT/],
  ["is empty", "# to come\n", /holds no API key/],
  ["holds something else", "two words\n", /neither blanks/],
])("a worker whose key file %s does not start, and says why", async (_, content, message) => {
  await using folder = await temporaryFolder();
  const apiKeyFile = join(folder.path, "key");
  if (content !== undefined) await writeFile(apiKeyFile, content);
  const error = await temporaryWorker({}, { apiKeyFile }).then(() => undefined, (caught: Error) => caught);
  expect(error?.message).toMatch(message);
  expect(error?.message).not.toContain("two words");
});
