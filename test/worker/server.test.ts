import { connect } from "node:net";
import { Client, credentials, type ServiceError } from "@grpc/grpc-js";
import { InferenceServiceDefinition } from "@polygraft/api";
import { createChannel, createClient, Status } from "nice-grpc";
import { HealthDefinition } from "nice-grpc-server-health";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startWorker } from "../../gpu-worker/src/index.js";
import { collect, request, temporaryWorker, type TemporaryWorker } from "../support/worker-fixture.js";

let tiny: TemporaryWorker;
beforeAll(async () => {
  tiny = await temporaryWorker();
});
afterAll(async () => tiny[Symbol.asyncDispose]());

/** `grpc.health.v1.HealthCheckResponse.ServingStatus`. */
const SERVING = 1;
const NOT_SERVING = 2;

test("health says serving, and not serving once the worker drains", async () => {
  const own = await temporaryWorker();
  const channel = createChannel(own.worker.address);
  const health = createClient(HealthDefinition, channel);
  const seen: number[] = [];
  for (const service of ["", InferenceServiceDefinition.fullName]) {
    expect((await health.check({ service })).status).toBe(SERVING);
  }
  const watch = (async () => {
    for await (const { status } of health.watch({ service: "" })) {
      seen.push(status);
      if (status === SERVING) void own.worker.drain("test");
      else break;
    }
  })();
  await watch;
  expect(seen).toEqual([SERVING, NOT_SERVING]);
  channel.close();
  await own[Symbol.asyncDispose]();
});

/** Calls a method with bytes as they are. */
async function raw(path: string, bytes: Buffer): Promise<number> {
  const client = new Client(tiny.worker.address, credentials.createInsecure(), { "grpc.max_send_message_length": -1 });
  const call = client.makeServerStreamRequest(path, (value: Buffer) => value, (value) => value, bytes);
  const code = await new Promise<number>((resolve) => {
    call.on("data", () => {});
    call.on("error", (error: ServiceError) => resolve(error.code));
    call.on("end", () => resolve(Status.OK));
  });
  client.close();
  return code;
}

const GENERATE = "/polygraft.v1.InferenceService/Generate";

test("what is too large, malformed or unknown is refused, and the worker goes on", async () => {
  expect(await raw(GENERATE, Buffer.alloc(5 * 1024 * 1024))).toBe(Status.RESOURCE_EXHAUSTED);
  expect(await raw(GENERATE, Buffer.alloc(100, 255))).not.toBe(Status.OK);
  expect(await raw(GENERATE, Buffer.alloc(0))).toBe(Status.INVALID_ARGUMENT);
  expect(await raw("/polygraft.v1.InferenceService/Nothing", Buffer.alloc(0))).toBe(Status.UNIMPLEMENTED);
  const socket = connect(Number(tiny.worker.address.split(":")[1]), "127.0.0.1");
  socket.on("error", () => {}).resume();
  socket.end("GET / HTTP/1.1\r\n\r\n");
  await new Promise((resolve) => socket.on("close", resolve));
  expect((await collect(tiny.inference.generate(request("hello")))).tokenIds).toHaveLength(12);
});

test("random bytes never kill it", async () => {
  let state = 1;
  const random = () => (state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0) >>> 16;
  for (let round = 0; round < 100; round++) {
    await raw(GENERATE, Buffer.from(Array.from({ length: random() % 64 }, () => random() & 255)));
  }
  expect((await collect(tiny.inference.generate(request("hello")))).tokenIds).toHaveLength(12);
});

test.each([
  [{ model: "/nowhere/at/all" }, /nowhere/],
  [{ adapters: "/nowhere/at/all" }, /nowhere/],
  [{ name: "no spaces" }, /name must be/],
  [{ listen: "localhost" }, /listen must be "host:port"/],
  [{ join: ["router:99999"] }, /join must be/],
  [{ weight: 0 }, /weight must be above 0/],
])("a worker does not start with %j, and says why", async (options, message) => {
  await expect(startWorker({ model: "/nowhere", ...options })).rejects.toThrow(message);
});
