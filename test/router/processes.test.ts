import { once } from "node:events";
import { readdir } from "node:fs/promises";
import { FleetServiceDefinition } from "@polygraft/api";
import { createChannel, createClient, Status } from "nice-grpc";
import { HealthDefinition } from "nice-grpc-server-health";
import { describe, expect, test } from "vitest";
import { child } from "../support/child.js";
import { deferred } from "../support/deferred.js";
import {
  errorInfo,
  hear,
  inferenceClient,
  listed,
  servedBy,
  temporaryRouter,
  textOf,
  textRequest,
  unlisted,
} from "../support/router-fixture.js";
import { routerProcess } from "../support/router-process.js";
import { delta, finished } from "../support/scripted-service.js";
import { startScriptedWorker } from "../support/scripted-worker.js";
import { temporaryFolder } from "../support/temporary-folder.js";

/** Reads a stream to its end, however it ends. */
function drained(stream: AsyncIterable<unknown>): { readonly began: Promise<void>; readonly ended: Promise<void> } {
  const began = deferred();
  const ended = (async () => {
    try {
      for await (const _ of stream) began.resolve();
    } catch {
      // Cancelled: that is an end, too.
    }
  })();
  return { began: began.promise, ended };
}

describe("a worker process that is killed", () => {
  test("before its first output: another one serves", async () => {
    await using router = await temporaryRouter();
    await using doomed = child("worker-process.mjs", [router.address, "doomed"]);
    await using spare = await startScriptedWorker({
      router: router.address,
      name: "spare",
      async *script() {
        yield { event: { $case: "accepted", value: { worker: "spare" } } };
        yield delta("served", 1);
        yield finished(1);
      },
    });
    await listed(router, "doomed", spare.name);
    using connection = inferenceClient(router.address);
    // Base requests spread over idle workers, so of a few at once some are at the doomed one.
    const hearing = Array.from({ length: 8 }, () => hear(connection.client.generate(textRequest("a"))));
    await once(doomed, "message");
    doomed.kill("SIGKILL");
    const heard = await Promise.all(hearing);
    expect(heard.map(({ error }) => error)).toEqual(heard.map(() => undefined));
    expect(new Set(heard.map(servedBy))).toEqual(new Set(["spare"]));
    await unlisted(router, "doomed");
  });

  test("after its first output: the client is told which worker was lost, and has what came before", async () => {
    await using router = await temporaryRouter();
    await using doomed = child("worker-process.mjs", [router.address, "doomed"]);
    await listed(router, "doomed");
    using connection = inferenceClient(router.address);
    let text = "";
    let error: Error | undefined;
    doomed.send({ say: "one" });
    try {
      for await (const event of connection.client.generate(textRequest("a"))) {
        text += textOf(event);
        if (text === "one") doomed.send({ say: "two" });
        if (text === "onetwo") doomed.kill("SIGKILL");
      }
    } catch (caught) {
      error = caught as Error;
    }
    expect(text).toBe("onetwo");
    expect(error).toMatchObject({ code: Status.UNAVAILABLE });
    expect(errorInfo(error)).toEqual({ reason: "WORKER_LOST", metadata: { worker: "doomed" } });
  });
});

describe("a router process", () => {
  test("told to stop, it finishes what runs, refuses what comes, and exits with 0", async () => {
    await using folder = await temporaryFolder();
    await using started = await routerProcess({}, { TMPDIR: folder.path });
    const { router, address, log } = started;
    const finish = deferred();
    await using worker = await startScriptedWorker({
      router: address,
      name: "w1",
      async *script() {
        yield delta("one", 1);
        await finish.promise;
        yield delta("two", 2);
        yield finished(2);
      },
    });
    using connection = inferenceClient(address);
    const first = deferred();
    let text = "";
    const running = (async () => {
      // The worker may not be listed yet: ask again until it is.
      while (text === "") {
        const stream = connection.client.generate(textRequest("a"));
        try {
          for await (const event of stream) {
            text += textOf(event);
            if (text === "one") first.resolve();
          }
        } catch (error) {
          expect(errorInfo(error as Error)?.reason).toBe("NO_WORKER");
        }
      }
    })();
    await first.promise;
    const watching = createChannel(address);
    const watches = [
      drained(createClient(FleetServiceDefinition, watching).watchFleet({ residency: false })),
      drained(createClient(HealthDefinition, watching).watch({ service: "" })),
    ];
    await Promise.all(watches.map(({ began }) => began));
    const exited = once(router, "exit");
    router.kill("SIGTERM");
    expect(await worker.expelled).toMatchObject({ code: Status.UNAVAILABLE });
    using late = inferenceClient(address);
    expect((await hear(late.client.generate(textRequest("b")))).error).toMatchObject({ code: Status.UNAVAILABLE });
    // What would never end by itself is ended; what runs goes on.
    await Promise.all(watches.map(({ ended }) => ended));
    expect(router.exitCode).toBeNull();
    finish.resolve();
    await running;
    watching.close();
    expect(text).toBe("onetwo");
    expect(await exited).toEqual([0, null]);
    expect(await readdir(folder.path)).toEqual([]);
    expect(log.map(({ msg }) => msg)).toEqual(["worker joined", "draining", "worker left", "stopped"]);
  });

  test("does not wait longer than it was told to", async () => {
    await using started = await routerProcess({ drainSeconds: 0 });
    const { router, address } = started;
    await using worker = await startScriptedWorker({
      router: address,
      name: "w1",
      async *script(__, { signal }) {
        yield delta("one", 1);
        await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
      },
    });
    using connection = inferenceClient(address);
    const request = { ...textRequest("a"), requestId: "r" };
    let heard = hear(connection.client.generate(request));
    while (worker.calls.length === 0) {
      await Promise.race([heard, worker.received(1)]);
      if (worker.calls.length === 0) heard = hear(connection.client.generate(request));
    }
    const exited = once(router, "exit");
    router.kill("SIGTERM");
    expect((await heard).error).toBeDefined();
    expect(await exited).toEqual([0, null]);
  });

  test("says why it cannot start", async () => {
    await using first = await routerProcess();
    await using second = child("router-process.mjs", [JSON.stringify({ listen: first.address })]);
    let said = "";
    second.stderr!.on("data", (chunk: Buffer) => (said += String(chunk)));
    const [code] = (await once(second, "close")) as [number];
    expect(code).not.toBe(0);
    expect(said).toContain("EADDRINUSE");
  });
});
