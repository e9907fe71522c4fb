import { randomUUID } from "node:crypto";
import { rename } from "node:fs/promises";
import { join } from "node:path";
import { OnMiss } from "@polygraft/api";
import { RichClientError } from "nice-grpc-error-details";
import { expect, test } from "vitest";
import { Random } from "../support/random.js";
import { ScriptedRouter } from "../support/scripted-router.js";
import { writeTinyAdapter } from "../support/tiny-model.js";
import { collect, request, temporaryWorker } from "../support/worker-fixture.js";

const NAMES = ["a", "b", "c", "d", "e", "f"];
const OPERATIONS = 240;
const AT_ONCE = 8;

/** What may be refused when six adapters fight for the room of two. */
const EXPECTED = new Set(["ADAPTER_MEMORY_FULL", "ADAPTER_NOT_READY", "ADAPTER_SOURCE_UNAVAILABLE", "aborted"]);

test("requests, cancels, loads, pins, unloads and changed files in any order leave nothing behind", async () => {
  const router = await ScriptedRouter.start();
  const adapters = Object.fromEntries(NAMES.map((name, index) => [name, { seed: index + 1 }]));
  const options = { join: [router.address], adapterBytes: 40_000, adapterWaitSeconds: 0.3 };
  await using tiny = await temporaryWorker(adapters, options, { shape: { context: 2048 } });
  const stream = await router.stream(0);
  const random = new Random(2026);

  const generate = async (id: string): Promise<void> => {
    const onMiss = [OnMiss.WAIT, OnMiss.WAIT, OnMiss.WAIT, OnMiss.FAIL, OnMiss.BASE][random.integer(5)] as OnMiss;
    const abort = new AbortController();
    const leaveAfter = random.integer(3) === 0 ? random.integer(4) : Number.POSITIVE_INFINITY;
    const maxTokens = 1 + random.integer(60);
    let events = 0;
    const wanted = request("hello the world", { adapter: { id }, onMiss, stopping: { maxTokens } });
    if (leaveAfter === 0) setImmediate(() => abort.abort());
    for await (const _ of tiny.inference.generate(wanted, { signal: abort.signal })) if (++events >= leaveAfter) abort.abort();
  };
  const operations = [
    generate, generate, generate, generate, generate, generate,
    async (id: string) => void (await tiny.adapterService.loadAdapter({ adapter: { id } })),
    async (id: string) => void (await tiny.adapterService.unloadAdapter({ adapter: { id } })),
    async (id: string) => void (await tiny.adapterService.pinAdapter({ adapter: { id }, pinned: random.integer(2) === 0 })),
    async (id: string) => replaceWeights(tiny.adapters, id, random.integer(100)),
  ]; // prettier-ignore

  const failures: string[] = [];
  let left = OPERATIONS;
  const lane = async (): Promise<void> => {
    while (left-- > 0) {
      const id = NAMES[random.integer(NAMES.length)] as string;
      const operation = operations[random.integer(operations.length)] as (id: string) => Promise<void>;
      await operation(id).catch((error: unknown) => failures.push(reasonOf(error)));
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, lane));
  expect(failures.filter((reason) => !EXPECTED.has(reason))).toEqual([]);

  for (const id of NAMES) await tiny.adapterService.unloadAdapter({ adapter: { id } });
  for (const id of NAMES) {
    const output = await collect(tiny.inference.generate(request("hello", { adapter: { id } })));
    expect(output.tokenIds).toHaveLength(12);
    await tiny.adapterService.unloadAdapter({ adapter: { id } });
  }
  const { adapters: known } = await tiny.adapterService.listAdapters({});
  expect(known.map(({ residency }) => residency[0]?.references)).toEqual(NAMES.map(() => 0));
  const told = stream.messages.flatMap(({ message }) => (message?.$case === "load" ? [message.value.number] : [])).at(-1) ?? 0n;
  const idle = { adapterBytesUsed: 0n, runningRequests: 0, waitingRequests: 0, kvBlocksUsed: 0, inFlightTokens: 0 };
  expect(await stream.said("load", ({ number }) => number > told + 1n)).toMatchObject(idle);
  router.stop();
});

/** As files should be replaced that others read: written aside, then renamed. */
async function replaceWeights(adapters: string, id: string, seed: number): Promise<void> {
  const aside = join(adapters, `.${id}-${randomUUID()}`);
  await writeTinyAdapter(aside, { seed });
  await rename(join(aside, "adapter_model.safetensors"), join(adapters, id, "adapter_model.safetensors"));
}

function reasonOf(error: unknown): string {
  if (error instanceof RichClientError) {
    return error.extra.find((detail) => detail.$type === "google.rpc.ErrorInfo")?.reason ?? error.message;
  }
  return error instanceof Error && error.name === "AbortError" ? "aborted" : String(error);
}
