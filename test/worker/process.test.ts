import { AdapterServiceDefinition, InferenceServiceDefinition } from "@polygraft/api";
import { createChannel, createClient, createClientFactory, Status } from "nice-grpc";
import { errorDetailsClientMiddleware } from "nice-grpc-error-details";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startCli, type RunningCli } from "../support/run-cli.js";
import { temporaryFolder } from "../support/temporary-folder.js";
import { writeTinyAdapter, writeTinyModel } from "../support/tiny-model.js";
import { collect, request } from "../support/worker-fixture.js";

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
beforeAll(async () => {
  folder = await temporaryFolder();
  await writeTinyModel(`${folder.path}/tiny`, { shape: { context: 4096 } });
  await writeTinyAdapter(`${folder.path}/adapters/a`);
});
afterAll(async () => folder[Symbol.asyncDispose]());

const worker = (...args: string[]): RunningCli =>
  startCli(["worker", "--model", `${folder.path}/tiny`, "--adapters", `${folder.path}/adapters`, "--cache-dir", `${folder.path}/cache`, ...args]);

test("a worker process serves, tells its log how the model loads, and finishes its streams when it is stopped", async () => {
  const process = worker("--threads", "1");
  const [, address = ""] = await process.seen(/^listening on (\S+)$/m);
  const channel = createChannel(address);
  const client = createClient(InferenceServiceDefinition, channel);
  const events = client.generate(request("hello", { adapter: { id: "a" }, stopping: { maxTokens: 1500 } }))[Symbol.asyncIterator]();
  await events.next();
  process.process.kill("SIGTERM");
  const { finished } = await collect({ [Symbol.asyncIterator]: () => events });
  channel.close();
  expect(finished?.usage?.outputTokens).toBe(1500);
  const { code, stderr } = await process.result;
  expect(code).toBe(0);
  const entries = stderr.trim().split("\n").map((line) => JSON.parse(line) as { msg: string; phase?: string });
  expect(entries.map(({ msg }) => msg)).toEqual(expect.arrayContaining(["opening the model", "the model is open", "draining", "stopped"]));
  expect(entries.some(({ phase }) => phase === "pack")).toBe(true);
});

test("a stream that outlasts the time for draining is told so, and the process ends well", async () => {
  const process = worker("--threads", "1", "--drain-seconds", "0");
  const [, address = ""] = await process.seen(/^listening on (\S+)$/m);
  const channel = createChannel(address);
  const client = createClientFactory().use(errorDetailsClientMiddleware).create(InferenceServiceDefinition, channel);
  const events = client.generate(request("hello", { stopping: { maxTokens: 4000 } }))[Symbol.asyncIterator]();
  await events.next();
  process.process.kill("SIGTERM");
  await expect(collect({ [Symbol.asyncIterator]: () => events })).rejects.toMatchObject({
    code: Status.UNAVAILABLE,
    extra: [expect.objectContaining({ reason: "DRAINING" })],
  });
  channel.close();
  expect((await process.result).code).toBe(0);
});

test("a worker process holds adapters on the device as --adapter-type says", async () => {
  const bytesAs = async (type: string): Promise<number> => {
    const process = worker("--threads", "1", "--adapter-type", type);
    const [, address = ""] = await process.seen(/^listening on (\S+)$/m);
    const channel = createChannel(address);
    const { adapter } = await createClient(AdapterServiceDefinition, channel).loadAdapter({ adapter: { id: "a" } });
    channel.close();
    process.process.kill("SIGTERM");
    expect((await process.result).code).toBe(0);
    return Number(adapter?.bytes);
  };
  const [source, int8] = [await bytesAs("source"), await bytesAs("int8")];
  expect(int8).toBeGreaterThan(0);
  expect(int8).toBeLessThan(source / 3); // its file is in f32
});

test("a worker process refuses an --adapter-type that there is not", async () => {
  const { code, stderr } = await worker("--adapter-type", "int4").result;
  expect(code).not.toBe(0);
  expect(stderr).toMatch(/--adapter-type.*source, int8/s);
});
