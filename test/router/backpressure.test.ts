import { once } from "node:events";
import { createServer } from "node:http2";
import type { ServerHttp2Stream } from "node:http2";
import type { AddressInfo } from "node:net";
import { gzipSync } from "node:zlib";
import { Status } from "nice-grpc";
import { describe, expect, test } from "vitest";
import { openCertificates } from "../../src/router/certificates.js";
import { defaultRelayOptions, Http2Relay, systemTimers } from "../../src/router/index.js";
import { deferred } from "../support/deferred.js";
import { frame, rawClient, readAnswer, requestFrame, responseFrame } from "../support/raw-grpc.js";
import { rawWorker } from "../support/raw-worker.js";
import { hear, inferenceClient, listed, temporaryRouter, textRequest } from "../support/router-fixture.js";

const head = { ":status": 200, "content-type": "application/grpc" };
const message = responseFrame({ event: { $case: "delta", value: { text: "x".repeat(1000) } } });
const total = 8 * 1024 * 1024;

/** What may lie between a worker and a client that does not read: two windows and the buffers at their ends. */
const bound = 1024 * 1024;

describe("a client that does not read", () => {
  test("stops its own worker stream within a bound, and nobody else's; nothing is lost when it reads again", async () => {
    let sent = 0;
    const stalled = deferred();
    await using router = await temporaryRouter();
    await using worker = await rawWorker(router, "w1", (stream, headers) => {
      stream.respond(head, { waitForTrailers: true });
      stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
      if (headers["x-fast"] !== undefined) return void stream.end(message);
      const pump = () => {
        while (sent < total) {
          sent += message.length;
          if (!stream.write(message)) return stalled.resolve();
        }
        stream.end();
      };
      stream.on("drain", pump);
      pump();
    });
    await listed(router, worker.name);
    using client = rawClient(router.address);
    const stream = client.open();
    stream.end(requestFrame(textRequest("a")));
    await once(stream, "response");
    await stalled.promise;

    // Everybody else goes on: on the same connections, many times, while the first client reads nothing.
    for (let round = 0; round < 20; round++) {
      const answers = await Promise.all(
        Array.from({ length: 10 }, () => client.call(requestFrame(textRequest("b")), { "x-fast": "1" })),
      );
      for (const { status, body } of answers) expect([status, body.length]).toEqual(["0", message.length]);
    }
    expect(worker.connections).toBe(1);
    expect(sent).toBeLessThan(bound);

    const { body, status } = await readAnswer(stream);
    expect([status, body.length]).toEqual(["0", sent]);
    expect(sent).toBeGreaterThanOrEqual(total);
  });

  test("still gets all of an answer whose worker is gone by then", async () => {
    const ended = deferred();
    await using router = await temporaryRouter();
    await using worker = await rawWorker(router, "w1", (stream) => {
      stream.respond(head, { waitForTrailers: true });
      stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
      for (let index = 0; index < 60; index++) stream.write(message);
      stream.end();
      stream.on("close", ended.resolve);
    });
    await listed(router, worker.name);
    using client = rawClient(router.address);
    const stream = client.open();
    stream.end(requestFrame(textRequest("a")));
    await once(stream, "response");
    await ended.promise;
    for (const session of worker.sessions) session.destroy();
    await client.settled();
    const { body, status } = await readAnswer(stream);
    expect([status, body.length]).toEqual(["0", 60 * message.length]);
  });
});

describe("a target that does not read", () => {
  /** Answers when it has read all of the request. */
  function answerAtEnd(stream: ServerHttp2Stream): void {
    stream.respond(head, { waitForTrailers: true });
    stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
    stream.resume().on("end", () => stream.end());
  }

  test("stops the client that streams to it within a bound, and nobody else; nothing is lost when it reads again", async () => {
    const slow = deferred<ServerHttp2Stream>();
    const server = createServer().on("stream", (stream: ServerHttp2Stream, headers) => {
      stream.on("error", () => {});
      if (headers["x-slow"] === undefined) answerAtEnd(stream);
      else slow.resolve(stream);
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const target = { name: "t", address: `127.0.0.1:${(server.address() as AddressInfo).port}` };
    const quiet = { info: () => {}, warn: () => {}, error: () => {} };
    const reports = { bug: expect.unreachable, handshakeFailed: () => {}, connectionRefused: () => {}, targetFailed: () => {} };
    const pass = { receive: () => ({ kind: "pass" as const, target, headers: {} }) };
    const relay = new Http2Relay(pass, defaultRelayOptions, systemTimers, await openCertificates({}, systemTimers, quiet), reports);
    const { port } = await relay.listen("127.0.0.1", 0);
    using client = rawClient(`127.0.0.1:${port}`);
    const stream = client.open({ "x-slow": "1" });
    const chunk = Buffer.alloc(16 * 1024);
    // Each chunk is written when the one before it has left the client, which it does as far as the relay takes it.
    let taken = 0;
    const pump = () => {
      if (taken >= total) return void stream.end();
      stream.write(chunk, () => {
        taken += chunk.length;
        pump();
      });
    };
    const answer = readAnswer(stream);
    pump();
    const reader = await slow.promise;

    // Everybody else goes on, many times after the last that was taken.
    for (let rounds = 0, before = 0; rounds < 20; rounds = taken === before ? rounds + 1 : 0) {
      before = taken;
      const answers = await Promise.all(Array.from({ length: 10 }, () => client.call(message)));
      for (const { status } of answers) expect(status).toBe("0");
    }
    expect(taken).toBeLessThan(bound);

    let read = 0;
    reader.on("data", (chunk: Buffer) => (read += chunk.length));
    answerAtEnd(reader);
    expect((await answer).status).toBe("0");
    expect([read, taken >= total]).toEqual([taken, true]);
    client.session.destroy();
    await relay.close();
    server.close();
  });

  test("holds large requests within the bound that all requests share", async () => {
    const unread: ServerHttp2Stream[] = [];
    const two = deferred();
    await using router = await temporaryRouter({ relay: { maxHeldBytes: 5_000_000 } });
    await using worker = await rawWorker(router, "w1", (stream) => {
      if (unread.length === 2) return answerAtEnd(stream);
      stream.pause();
      unread.push(stream);
      if (unread.length === 2) two.resolve();
    });
    await listed(router, worker.name);
    using client = rawClient(router.address);
    const request = requestFrame(textRequest("x".repeat(2_000_000)));
    const waiting = [client.call(request), client.call(request)];
    await two.promise;
    // They have been sent, but not been read: nothing of them may be forgotten yet.
    expect(await client.call(request)).toMatchObject({ status: String(Status.RESOURCE_EXHAUSTED), message: expect.stringContaining("try again") });
    for (const stream of unread) answerAtEnd(stream);
    for (const { status } of await Promise.all(waiting)) expect(status).toBe("0");
    expect((await client.call(request)).status).toBe("0");
  });
});

describe("requests that wait", () => {
  test("share a bound", async () => {
    const relay = { maxHeldBytes: 10_000 };
    await using router = await temporaryRouter({ relay });
    await using worker = await rawWorker(router, "w1", (stream) => stream.respond({ ...head, "grpc-status": "0" }, { endStream: true }));
    await listed(router, worker.name);
    using client = rawClient(router.address);
    using connection = inferenceClient(router.address);
    const request = requestFrame(textRequest("x".repeat(6000)));
    const waiting = client.open();
    waiting.write(request.subarray(0, 5500));
    await client.settled();
    const { error } = await hear(connection.client.generate(textRequest("x".repeat(6000))));
    expect(error).toMatchObject({ code: Status.RESOURCE_EXHAUSTED, details: expect.stringContaining("try again") });
    const answer = readAnswer(waiting);
    waiting.end(request.subarray(5500));
    expect((await answer).status).toBe("0");
    expect((await hear(connection.client.generate(textRequest("x".repeat(6000))))).error).toBeUndefined();
  });

  test("count as large as they are, not as small as they were sent", async () => {
    await using router = await temporaryRouter({ relay: { maxHeldBytes: 10_000 } });
    await using worker = await rawWorker(router, "w1", (stream) => stream.respond({ ...head, "grpc-status": "0" }, { endStream: true }));
    await listed(router, worker.name);
    using client = rawClient(router.address);
    const compressed = (letters: number) => {
      const message = requestFrame(textRequest("x".repeat(letters))).subarray(5);
      return client.call(frame(gzipSync(message), 1), { "grpc-encoding": "gzip" });
    };
    expect((await compressed(9000)).status).toBe("0");
    expect(await compressed(11_000)).toMatchObject({ status: String(Status.RESOURCE_EXHAUSTED) });
    expect((await compressed(9000)).status).toBe("0");
  });
});
