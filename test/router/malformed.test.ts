import { constants } from "node:http2";
import { connect as connectSocket } from "node:net";
import type { Socket } from "node:net";
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { Status } from "nice-grpc";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { LogFields, Router } from "../../src/router/index.js";
import { frameTypes, frameTypesIn, http2Frame, ping, pong, preface, settings } from "../support/http2-frames.js";
import { manualTimers } from "../support/manual-timers.js";
import { frame, rawClient, readAnswer, requestFrame } from "../support/raw-grpc.js";
import type { RawAnswer } from "../support/raw-grpc.js";
import { hear, inferenceClient, listed, temporaryRouter, textRequest } from "../support/router-fixture.js";
import { delta, finished } from "../support/scripted-service.js";
import { startScriptedWorker } from "../support/scripted-worker.js";
import type { ScriptedWorker } from "../support/scripted-worker.js";

let router: Router & AsyncDisposable;
let worker: ScriptedWorker;

beforeAll(async () => {
  router = await temporaryRouter();
  worker = await startScriptedWorker({
    router: router.address,
    name: "w1",
    async *script() {
      yield delta("fine", 1);
      yield finished(1);
    },
  });
  await listed(router, "w1");
});

afterAll(async () => {
  await worker[Symbol.asyncDispose]();
  await router.close();
});

/** The router still serves. */
async function expectAlive(): Promise<void> {
  using connection = inferenceClient(router.address);
  const { error, text } = await hear(connection.client.generate(textRequest("a")));
  expect([error, text]).toEqual([undefined, "fine"]);
}

async function call(body: Buffer | undefined, headers?: Readonly<Record<string, string>>): Promise<RawAnswer> {
  using client = rawClient(router.address);
  return await client.call(body, headers);
}

const request = requestFrame(textRequest("a"));

describe("calls that no gRPC library would make", () => {
  test.each<[string, Buffer | undefined, Record<string, string>, Status, string]>([
    ["no message", undefined, {}, Status.UNIMPLEMENTED, "without a request message"],
    ["half a prefix", request.subarray(0, 3), {}, Status.UNIMPLEMENTED, "without a request message"],
    ["half a message", request.subarray(0, -1), {}, Status.UNIMPLEMENTED, "without a request message"],
    ["two messages", Buffer.concat([request, request]), {}, Status.UNIMPLEMENTED, "more than one"],
    ["a message of 4 GiB", Buffer.from([0, 255, 255, 255, 255, 1]), {}, Status.RESOURCE_EXHAUSTED, "4194304"],
    ["an unknown flag", Buffer.from([7, 0, 0, 0, 0]), {}, Status.INVALID_ARGUMENT, "compressed flag 7"],
    ["compressed without an encoding", frame(gzipSync("x"), 1), {}, Status.INVALID_ARGUMENT, "grpc-encoding"],
    ["an unknown encoding", frame(gzipSync("x"), 1), { "grpc-encoding": "zstd" }, Status.UNIMPLEMENTED, "zstd"],
    ["corrupt gzip", frame(Buffer.from("abc"), 1), { "grpc-encoding": "gzip" }, Status.INVALID_ARGUMENT, "gzip"],
    ["a gzip bomb", frame(gzipSync(Buffer.alloc(64 << 20)), 1), { "grpc-encoding": "gzip" }, Status.RESOURCE_EXHAUSTED, "inflates"],
    ["no protobuf", frame(Buffer.from([0x0a, 0xff])), {}, Status.INVALID_ARGUMENT, "not valid protobuf"],
    ["a field that runs over", frame(Buffer.from([0x1a, 0x05, 1])), {}, Status.INVALID_ARGUMENT, "not valid protobuf"],
    ["an empty adapter", requestFrame({ adapter: { id: "" } }), {}, Status.INVALID_ARGUMENT, "adapter.id"],
    ["a malformed deadline", request, { "grpc-timeout": "soon" }, Status.INVALID_ARGUMENT, "grpc-timeout"],
    ["an unknown method", request, { ":path": "/polygraft.v1.InferenceService/Guess" }, Status.UNIMPLEMENTED, "Guess"],
    ["an unknown service", request, { ":path": "/a.B/C" }, Status.UNIMPLEMENTED, "/a.B/C"],
    ["a path without a service", request, { ":path": "/" }, Status.UNIMPLEMENTED, "no method /"],
    ["an unknown method of a known service", request, { ":path": "/polygraft.v1.AdapterService/X" }, Status.UNIMPLEMENTED, "X"],
  ])("%s", async (_, body, headers, status, text) => {
    const answer = await call(body, headers);
    expect(answer.head[":status"]).toBe(200);
    expect(answer.status).toBe(String(status));
    expect(answer.message).toContain(text);
  });

  test("what is no gRPC gets an HTTP status", async () => {
    expect((await call(undefined, { ":method": "GET" })).head[":status"]).toBe(405);
    expect((await call(request, { "content-type": "application/json" })).head[":status"]).toBe(415);
    expect((await call(request, { "content-type": "application/grpc-web" })).head[":status"]).toBe(415);
    await expectAlive();
  });

  test("big headers are refused; huge ones end their stream, or their connection, and nothing else", async () => {
    expect(await call(request, { "x-big": "x".repeat(20_000) })).toMatchObject({
      status: String(Status.RESOURCE_EXHAUSTED),
      message: expect.stringContaining("16384 bytes"),
    });
    const { code, status } = await call(request, { "x-huge": "x".repeat(200_000) });
    expect(status).toBeUndefined();
    expect(code).toBeGreaterThan(0);
    await expectAlive();
  });
});

/**
 * Sends bytes on a fresh connection, then a ping. Resolves when the router has answered that, has said GOAWAY, or has
 * closed the connection: in any case it has read what came before.
 */
function send(to: string, bytes: Buffer): Promise<{ readonly socket: Socket; readonly end: "pong" | "goaway" | "close" }> {
  const { hostname, port } = new URL(`http://${to}`);
  return new Promise((resolve) => {
    let received = Buffer.alloc(0);
    const socket = connectSocket({ host: hostname, port: Number(port) }, () => socket.write(Buffer.concat([bytes, ping])));
    socket.on("error", () => {});
    socket.on("close", () => resolve({ socket, end: "close" }));
    socket.on("data", (chunk: Buffer) => {
      received = Buffer.concat([received, chunk]);
      if (received.includes(pong)) resolve({ socket, end: "pong" });
      else if (frameTypesIn(received).includes(frameTypes.goaway)) resolve({ socket, end: "goaway" });
    });
  });
}

describe("bytes on the wire", () => {
  test.each<[string, Buffer]>([
    ["HTTP/1.1", Buffer.from("GET / HTTP/1.1\r\nhost: a\r\n\r\n")],
    ["TLS", Buffer.from("16030100c8010000c40303".padEnd(100, "0"), "hex")],
    ["half a preface", preface.subarray(0, 10)],
    ["DATA on a stream that is idle", Buffer.concat([preface, settings, http2Frame(0, 0, 1, Buffer.from("abc"))])],
    ["HEADERS of garbage", Buffer.concat([preface, settings, http2Frame(1, 4, 1, Buffer.alloc(50, 0xff))])],
    ["CONTINUATION without HEADERS", Buffer.concat([preface, settings, http2Frame(9, 4, 1, Buffer.from("abc"))])],
    ["a frame longer than allowed", Buffer.concat([preface, settings, http2Frame(0, 0, 1, Buffer.alloc(40_000))])],
    ["a window of zero added", Buffer.concat([preface, settings, http2Frame(8, 0, 0, Buffer.alloc(4))])],
  ])("%s ends its connection", async (_, bytes) => {
    const { socket, end } = await send(router.address, bytes);
    socket.destroy();
    expect(end).not.toBe("pong");
    await expectAlive();
  });

  test("a connection that broke the protocol is closed with the next ping", async () => {
    const timers = manualTimers();
    await using patient = await temporaryRouter({ timers });
    const garbage = Buffer.concat([preface, settings, http2Frame(0, 0, 1, Buffer.from("abc"))]);
    const { socket } = await send(patient.address, garbage);
    timers.advance(50_000);
    await new Promise((resolve) => (socket.closed ? resolve(0) : socket.once("close", resolve)));
  });

  test("any frames", async () => {
    const type = fc.integer({ min: 0, max: 12 });
    const frames = fc.array(
      fc
        .tuple(type, fc.nat(255), fc.nat(6), fc.uint8Array({ maxLength: 64 }))
        .map(([type, flags, stream, payload]) => http2Frame(type, flags, stream, Buffer.from(payload))),
      { maxLength: 12 },
    );
    await fc.assert(
      fc.asyncProperty(frames, fc.uint8Array({ maxLength: 32 }), async (all, tail) => {
        const { socket } = await send(router.address, Buffer.concat([preface, settings, ...all]));
        if (!socket.destroyed) socket.end(tail);
        socket.destroySoon();
      }),
      { numRuns: 300 },
    );
    await expectAlive();
  });

  test("messages of random bytes are answered with a status, each", async () => {
    using client = rawClient(router.address);
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 100 }), fc.boolean(), async (bytes, framed) => {
        const { status } = await client.call(framed ? frame(bytes) : Buffer.from(bytes));
        expect(status).toMatch(/^[0-9]+$/);
      }),
      { numRuns: 300 },
    );
    await expectAlive();
  });

  test("streams that are opened and reset again and again end their connection, with advice, and no other", async () => {
    await using strict = await temporaryRouter({ relay: { resets: { burst: 20, perSecond: 1 } } });
    using other = rawClient(strict.address);
    await other.settled();
    const client = rawClient(strict.address);
    const advice = new Promise<number>((resolve) => client.session.once("goaway", resolve));
    const closed = new Promise<void>((resolve) => client.session.once("close", () => resolve()));
    const reset = async (count: number) => {
      for (let index = 0; index < count; index++) client.open().close(constants.NGHTTP2_CANCEL);
      await client.settled();
    };
    await reset(20);
    await reset(30).catch(() => {});
    expect(await advice).toBe(constants.NGHTTP2_ENHANCE_YOUR_CALM);
    await closed;
    await other.settled();
  });

  test("without a pause they exhaust nothing either", async () => {
    const client = rawClient(router.address);
    const closed = new Promise<void>((resolve) => client.session.once("close", () => resolve()));
    for (let index = 0; index < 3000 && !client.session.destroyed && !client.session.closed; index++) {
      client.open().close(constants.NGHTTP2_CANCEL);
      if (index % 100 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    client.session.close();
    await closed;
    await expectAlive();
  });
});

test("a client that does not send its request loses its place", async () => {
  const timers = manualTimers();
  await using patient = await temporaryRouter({ timers, maxStreams: 1, maxQueue: 0 });
  using client = rawClient(patient.address);
  const slow = client.open();
  const answer = readAnswer(slow);
  slow.write(request.subarray(0, 6));
  await client.settled();
  timers.advance(29_999);
  expect((await client.call(request)).status).toBe(String(Status.RESOURCE_EXHAUSTED));
  timers.advance(1);
  // No worker has joined this router: that it says so means that the place is free again.
  expect((await client.call(request)).status).toBe(String(Status.UNAVAILABLE));
  slow.close();
  expect(await answer).toMatchObject({ status: String(Status.DEADLINE_EXCEEDED), message: expect.stringContaining("30000 ms") });
});

test("connections above the limit are closed as they come, and the log says so seldom and counts them", async () => {
  const timers = manualTimers();
  const said: LogFields[] = [];
  const warn = (message: string, fields: LogFields = {}) => void (message.includes("connection was refused") && said.push(fields));
  await using small = await temporaryRouter({ relay: { maxConnections: 1 }, timers, log: { info: () => {}, warn, error: () => {} } });
  using first = rawClient(small.address);
  await first.settled();
  const refused = async () => {
    using another = rawClient(small.address);
    await new Promise((resolve) => another.session.once("close", resolve));
  };
  for (let count = 0; count < 10; count++) await refused();
  const entry = { peer: "127.0.0.1", maxConnections: 1 };
  expect(said).toEqual([entry]);
  timers.advance(5000);
  await refused();
  expect(said).toEqual([entry, { ...entry, more: 9 }]);
  await first.settled();
});
