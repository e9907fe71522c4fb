import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { AdapterServiceDefinition } from "@polygraft/api";
import { createChannel, createClient, Metadata, Status } from "nice-grpc";
import { HealthDefinition } from "nice-grpc-server-health";
import { RetryInfo, RichClientError } from "nice-grpc-error-details";
import { describe, expect, test } from "vitest";
import { deferred } from "../support/deferred.js";
import { errorInfo, hear, inferenceClient, listed, temporaryRouter, textRequest } from "../support/router-fixture.js";
import { delta, finished } from "../support/scripted-service.js";
import { startScriptedWorker } from "../support/scripted-worker.js";
import { temporaryFolder } from "../support/temporary-folder.js";

async function* hello() {
  yield delta("hello", 1);
  yield finished(1);
}

test("with API keys, everything but health and reflection needs one, workers included", async () => {
  await using folder = await temporaryFolder();
  const apiKeysFile = join(folder.path, "keys");
  await writeFile(apiKeysFile, "good-key\n");
  await using router = await temporaryRouter({ apiKeysFile });
  const worker = { router: router.address, name: "w1", script: hello };
  await using uninvited = await startScriptedWorker({ ...worker, apiKey: "bad-key" });
  expect(await uninvited.expelled).toMatchObject({ code: Status.UNAUTHENTICATED });
  await using invited = await startScriptedWorker({ ...worker, apiKey: "good-key" });
  await listed(router, invited.name);

  using connection = inferenceClient(router.address);
  const generate = (authorization?: string) => {
    const metadata = Metadata(authorization === undefined ? {} : { authorization });
    return hear(connection.client.generate(textRequest("a"), { metadata }));
  };
  for (const refused of [await generate(), await generate("Bearer bad-key"), await generate("good-key")]) {
    expect(refused.error).toMatchObject({ code: Status.UNAUTHENTICATED });
    expect(errorInfo(refused.error)?.reason).toBe("UNAUTHENTICATED");
  }
  expect((await generate("Bearer good-key")).text).toBe("hello");
  const tenant = expect.stringMatching(/^key [0-9a-f]{12}$/);
  // Workers are to share fairly between keys, whatever callers say of themselves.
  const qos = { priority: 3, tenant: "somebody-else" };
  await hear(connection.client.generate({ ...textRequest("a"), qos }, { metadata: Metadata({ authorization: "Bearer good-key" }) }));
  expect(invited.calls.map(({ request }) => request.qos)).toMatchObject([{ tenant }, { tenant, priority: 3 }]);

  const channel = createChannel(router.address);
  const adapters = createClient(AdapterServiceDefinition, channel).listAdapters({});
  await expect(adapters).rejects.toMatchObject({ code: Status.UNAUTHENTICATED });
  expect(await createClient(HealthDefinition, channel).check({ service: "" })).toMatchObject({ status: 1 });
  channel.close();
});

describe("the bound on streams", () => {
  test("refuses what is above it, with a time to come back, and frees a place at once", async () => {
    const release = deferred();
    const ended = deferred();
    await using router = await temporaryRouter({ maxStreams: 2, maxQueue: 0 });
    await using worker = await startScriptedWorker({
      router: router.address,
      name: "w1",
      async *script(_, { signal }) {
        yield delta("first", 1);
        signal.addEventListener("abort", () => ended.resolve(), { once: true });
        await Promise.race([release.promise, ended.promise]);
        yield finished(1);
      },
    });
    await listed(router, worker.name);
    using connection = inferenceClient(router.address);
    const leaving = new AbortController();
    const one = hear(connection.client.generate(textRequest("a"), { signal: leaving.signal }));
    const two = hear(connection.client.generate(textRequest("b")));
    await worker.received(2);
    const { error } = await hear(connection.client.generate(textRequest("c")));
    expect(error).toMatchObject({ code: Status.RESOURCE_EXHAUSTED, details: expect.stringContaining("2 requests run and 0 wait, of at most 0") });
    expect(errorInfo(error)?.reason).toBe("QUEUE_FULL");
    const details = error instanceof RichClientError ? error.extra : [];
    expect(details.find(({ $type }) => $type === RetryInfo.$type)).toMatchObject({ retryDelay: { nanos: 500_000_000 } });

    leaving.abort();
    await one;
    await ended.promise;
    release.resolve();
    expect((await hear(connection.client.generate(textRequest("d")))).text).toBe("first");
    expect((await two).text).toBe("first");
  });
});
