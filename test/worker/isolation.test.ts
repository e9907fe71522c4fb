import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Client, credentials, type ServiceError } from "@grpc/grpc-js";
import { GenerateRequest, GenerateResponse } from "@polygraft/api";
import { Status } from "nice-grpc";
import { afterAll, beforeAll, expect, test } from "vitest";
import { collect, request, temporaryWorker, type Output, type TemporaryWorker } from "../support/worker-fixture.js";
import { writeTinyAdapter } from "../support/tiny-model.js";

const ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"] as const;
const ADAPTERS = {
  a: { seed: 1 },
  b: { seed: 2, rank: 4, targets: ["o_proj", "down_proj"] },
  c: { seed: 3, rank: 16, targets: ALL },
} as const;

let tiny: TemporaryWorker;
beforeAll(async () => {
  // A long context: streams that are to be cut off must not end by themselves before.
  tiny = await temporaryWorker(ADAPTERS, {}, { shape: { context: 4096 } });
});
afterAll(async () => tiny[Symbol.asyncDispose]());

const generate = async (wanted: ReturnType<typeof request>): Promise<Output> => collect(tiny.inference.generate(wanted));

/** Sixteen requests of all kinds. */
const mixed = Array.from({ length: 16 }, (_, index) => {
  const adapter = [undefined, { id: "a" }, { id: "b" }, { id: "c" }][index % 4];
  const sampling = index % 3 === 0 ? { temperature: 1, seed: BigInt(index) } : {};
  const prompt = "hello the world ".repeat(1 + (index % 5));
  return request(prompt, { ...(adapter && { adapter }), sampling, response: { logprobs: true }, stopping: { maxTokens: 8 + index } });
});

const essence = ({ text, tokenIds, logprobs, finished }: Output) => ({ text, tokenIds, logprobs, reason: finished?.reason });

test("sixteen streams at once over mixed adapters equal each alone, while bad ones come and go", async () => {
  const alone: Output[] = [];
  for (const wanted of mixed) alone.push(await generate(wanted));
  await writeTinyAdapter(join(tiny.adapters, "wide"), { shape: { hidden: 128 } });
  await writeTinyAdapter(join(tiny.adapters, "broken"));
  await writeFile(join(tiny.adapters, "broken", "adapter_model.safetensors"), Buffer.alloc(64, 255));
  const bad = [
    request("hello", { adapter: { id: "none" } }),
    request("hello", { adapter: { id: "wide" } }),
    request("hello", { adapter: { id: "broken" } }),
    request("hello", { sampling: { temperature: 99 } }),
    request({ $case: "tokenIds", value: { ids: [100_000] } }),
    request("a".repeat(5000)),
  ];
  const streams = Promise.all(mixed.map(generate));
  const refusals = Promise.allSettled([...bad, ...bad].map(generate));
  const cancelled = mixed.slice(0, 4).map(async (wanted) => {
    for await (const _ of tiny.inference.generate({ ...wanted, stopping: { maxTokens: 4000, ignoreEos: true } })) break;
  });
  expect((await streams).map(essence)).toEqual(alone.map(essence));
  expect((await refusals).map(({ status }) => status)).toEqual(Array.from({ length: 12 }, () => "rejected"));
  await Promise.all(cancelled);
});

/** Resolves when nobody uses an adapter: the engine has let go of all its sequences. */
async function freed(id: string): Promise<void> {
  for (;;) {
    const { adapter } = await tiny.adapterService.getAdapter({ adapter: { id } });
    if (adapter?.residency[0]?.references === 0) return;
  }
}

const endless = request("hello", { adapter: { id: "a" }, stopping: { maxTokens: 4000 } });

test("a stream that its client leaves frees its sequence", async () => {
  const abort = new AbortController();
  const stream = tiny.inference.generate(endless, { signal: abort.signal });
  await expect(
    (async () => {
      for await (const { event } of stream) if (event?.$case === "delta") abort.abort();
    })(),
  ).rejects.toThrow(/abort/i);
  await freed("a");
});

test("a deadline that passes frees the sequence", async () => {
  const client = new Client(tiny.worker.address, credentials.createInsecure());
  const call = client.makeServerStreamRequest(
    "/polygraft.v1.InferenceService/Generate",
    (value: GenerateRequest) => Buffer.from(GenerateRequest.encode(value).finish()),
    (bytes) => GenerateResponse.decode(bytes),
    GenerateRequest.fromPartial({ ...endless, response: { coalesceTokens: 1024, coalesceMillis: 10_000 } }),
    { deadline: Date.now() + 30 },
  );
  const code = await new Promise((resolve) => {
    call.on("data", () => {});
    call.on("error", (error: ServiceError) => resolve(error.code));
    call.on("end", () => resolve(Status.OK));
  });
  client.close();
  expect(code).toBe(Status.DEADLINE_EXCEEDED);
  await freed("a");
});

test("a full house turns the next one away, and says when to come again", async () => {
  await using small = await temporaryWorker({}, { maxSequences: 1, maxQueue: 1 });
  const long = request("hello", { stopping: { maxTokens: 500 } });
  const aborts = Array.from({ length: 12 }, () => new AbortController());
  const streams = aborts.map(async ({ signal }) => collect(small.inference.generate(long, { signal })));
  const first = await Promise.race(streams.map(async (stream) => stream.then(() => undefined, (error: unknown) => error)));
  expect(first).toMatchObject({
    code: Status.RESOURCE_EXHAUSTED,
    extra: [expect.objectContaining({ reason: "QUEUE_FULL" }), expect.objectContaining({ retryDelay: expect.anything() })],
  });
  for (const abort of aborts) abort.abort();
  await Promise.allSettled(streams);
  // The house is empty again.
  for (;;) {
    const again = await collect(small.inference.generate(request("hello"))).catch(() => undefined);
    if (again) return expect(again.tokenIds).toHaveLength(12);
  }
});

test("a first token that cannot come in time is refused instead of started", async () => {
  await using small = await temporaryWorker({}, { maxSequences: 1 });
  const running = small.inference.generate(request("hello", { stopping: { maxTokens: 500 } }));
  const events = running[Symbol.asyncIterator]();
  await events.next(); // it has the only place now
  const waiting = small.inference.generate(request("hello", { qos: { ttftTargetMillis: 1 } }));
  const outcome = await collect(waiting).then(() => undefined, (error: unknown) => error);
  expect(outcome).toMatchObject({ code: Status.RESOURCE_EXHAUSTED });
  await events.return?.();
});

test("a long prompt is tokenized aside, and refused where it cannot fit", async () => {
  const [short, long] = await Promise.allSettled([generate(request("hello")), generate(request("hello ".repeat(50_000)))]);
  expect(short.status).toBe("fulfilled");
  expect(long).toMatchObject({
    reason: { code: Status.INVALID_ARGUMENT, extra: expect.arrayContaining([expect.objectContaining({ reason: "PROMPT_TOO_LONG" })]) },
  });
  const fits = "hello".repeat(1) + " the".repeat(400);
  expect((await generate(request(fits, { stopping: { maxTokens: 1 } }))).finished?.usage?.promptTokens).toBe(401);
});
