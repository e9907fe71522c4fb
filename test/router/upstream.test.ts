import { constants } from "node:http2";
import type { ServerHttp2Stream } from "node:http2";
import { createServer } from "node:net";
import type { AddressInfo, Socket } from "node:net";
import fc from "fast-check";
import { preferenceList, prepareFleet } from "@polygraft/placement";
import { describe, expect, test } from "vitest";
import { Status } from "nice-grpc";
import { deferred } from "../support/deferred.js";
import { manualTimers } from "../support/manual-timers.js";
import { rawClient, readAnswer, requestFrame, responseFrame } from "../support/raw-grpc.js";
import { rawWorker } from "../support/raw-worker.js";
import { errorInfo, hear, inferenceClient, listed, servedBy, temporaryRouter, textRequest } from "../support/router-fixture.js";
import { startScriptedWorker } from "../support/scripted-worker.js";

const head = { ":status": 200, "content-type": "application/grpc" };
const accepted = (worker: string) => responseFrame({ event: { $case: "accepted", value: { worker } } });
const delta = (text: string) => responseFrame({ event: { $case: "delta", value: { text } } });

/** Answers as a worker does. */
function answer(stream: ServerHttp2Stream, worker: string): void {
  stream.respond(head, { waitForTrailers: true });
  stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
  stream.write(accepted(worker));
  stream.end(delta(worker));
}

/** A request with a routing key. */
const pinnedTo = (key: string) => ({ ...textRequest("a"), routing: { key, worker: "" } });

/** A routing key whose first choice of "bad" and "good" is "bad". */
function preferring(first: string, second: string): string {
  const fleet = prepareFleet([{ name: first }, { name: second }]);
  for (let key = 0; ; key++) if (preferenceList(fleet, `key-${key}`, 1)[0] === first) return `key-${key}`;
}

describe("a worker that misbehaves before its first output is replaced", () => {
  test.each<[string, (stream: ServerHttp2Stream) => void]>([
    ["refuses the stream", (stream) => stream.close(constants.NGHTTP2_REFUSED_STREAM)],
    ["resets the stream", (stream) => stream.close(constants.NGHTTP2_INTERNAL_ERROR)],
    ["answers with an HTTP status", (stream) => stream.respond({ ":status": 503 }, { endStream: true })],
    ["answers with a web page", (stream) => void (stream.respond({ ":status": 200, "content-type": "text/html" }), stream.end("hi"))],
    ["ends without a status", (stream) => void (stream.respond(head), stream.end(accepted("bad")))],
    ["ends with a status that is none", (stream) => stream.respond({ ...head, "grpc-status": "fine" }, { endStream: true })],
    ["breaks off within a message", (stream) => {
      stream.respond(head);
      stream.write(Buffer.concat([accepted("bad"), delta("x".repeat(100)).subarray(0, 50)]), () => stream.session?.destroy());
    }],
  ])("%s", async (_, misbehave) => {
    await using router = await temporaryRouter();
    await using bad = await rawWorker(router, "bad", misbehave);
    await using good = await rawWorker(router, "good", (stream) => answer(stream, "good"));
    await listed(router, bad.name, good.name);
    using connection = inferenceClient(router.address);
    const heard = await hear(connection.client.generate(pinnedTo(preferring("bad", "good"))));
    expect([heard.error, servedBy(heard), heard.text]).toEqual([undefined, "good", "good"]);
  });

  test("speaks no HTTP/2 at all", async () => {
    const sockets = new Set<Socket>();
    const server = createServer((socket) => {
      sockets.add(socket);
      socket.on("error", () => {});
      socket.end("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n");
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    await using router = await temporaryRouter();
    const address = `127.0.0.1:${(server.address() as AddressInfo).port}`;
    const script = () => {
      throw new Error("not served here");
    };
    await using bad = await startScriptedWorker({ router: router.address, name: "bad", address, script });
    await using good = await rawWorker(router, "good", (stream) => answer(stream, "good"));
    await listed(router, bad.name, good.name);
    using connection = inferenceClient(router.address);
    const heard = await hear(connection.client.generate(pinnedTo(preferring("bad", "good"))));
    expect([heard.error, servedBy(heard)]).toEqual([undefined, "good"]);
    server.close();
  });

  test("does not answer pings: a process that hangs, a machine that vanished", async () => {
    const timers = manualTimers();
    await using router = await temporaryRouter({ timers });
    const script = (name: string) => ({
      router: router.address,
      name,
      script: async function* () {
        if (name === "bad") await new Promise(() => {});
        yield { event: { $case: "accepted" as const, value: { worker: name } } };
      },
    });
    await using bad = await startScriptedWorker(script("bad"));
    await using good = await startScriptedWorker(script("good"));
    await listed(router, bad.name, good.name);
    using client = rawClient(router.address);
    const routing = { key: preferring("bad", "good") };
    const calling = client.call(requestFrame({ ...textRequest("a"), routing }));
    await bad.received(1);
    bad.freeze();
    timers.advance(9_999);
    expect(good.calls).toHaveLength(0);
    timers.advance(1);
    // Everybody else answers the ping: the router's own services, and this client.
    await client.settled();
    timers.advance(4_999);
    expect(good.calls).toHaveLength(0);
    timers.advance(1);
    const { status, head } = await calling;
    expect([status, head["polygraft-worker"]]).toEqual(["0", "good"]);
  });
});

test("whatever a worker answers, the client gets a status and the router lives", async () => {
  const name = fc.stringMatching(/^[a-z][a-z0-9-]{0,12}$/).map((name) => (name === "te" ? "tea" : name));
  const value = fc.string({ maxLength: 20 }).map((text) => text.replaceAll(/[^\x20-\x7e]/g, "~").trim());
  const headers = fc.dictionary(name, value, { maxKeys: 5 });
  const status = fc.option(fc.oneof(fc.nat(20).map(String), value), { nil: undefined });
  const answers = fc.record({ headers, trailers: headers, status, body: fc.uint8Array({ maxLength: 60 }), cut: fc.boolean() });
  type Answer = { headers: object; trailers: object; status: string | undefined; body: Uint8Array; cut: boolean };
  let next: Answer | undefined;
  await using router = await temporaryRouter();
  await using worker = await rawWorker(router, "w1", (stream) => {
    const { headers, trailers, status, body, cut } = next!;
    const forbidden = new Set(["connection", "upgrade", "host", "keep-alive", "content-length"]);
    const allowed = (all: object) => Object.fromEntries(Object.entries(all).filter(([key]) => !forbidden.has(key)));
    stream.respond({ ...head, ...allowed(headers) }, { waitForTrailers: true });
    const last = status === undefined ? {} : { "grpc-status": status };
    stream.on("wantTrailers", () => stream.sendTrailers({ ...allowed(trailers), ...last }));
    if (cut) stream.write(body, () => setImmediate(() => stream.close(constants.NGHTTP2_INTERNAL_ERROR)));
    else stream.end(body);
  });
  await listed(router, worker.name);
  using client = rawClient(router.address);
  await fc.assert(
    fc.asyncProperty(answers, async (answer) => {
      next = answer;
      const heard = await client.call(requestFrame(textRequest("a")));
      expect(heard.status).toMatch(/^[0-9]{1,2}$/);
    }),
    { numRuns: 200 },
  );
});

test.each<[string, number]>([
  ["that many clients would not take", 20_000],
  ["that no router could send on", 70_000],
])("headers and trailers %s fail their call, with the limit, and no other", async (_, bytes) => {
  // No header is large by itself: libraries keep to that.
  const large = Object.fromEntries(Array.from({ length: bytes / 5000 }, (_, index) => [`x-large-${index}`, "x".repeat(5000)]));
  const held = deferred<ServerHttp2Stream>();
  await using router = await temporaryRouter();
  await using worker = await rawWorker(router, "w1", (stream, { "x-large": where }) => {
    if (where === undefined) return held.resolve(stream);
    stream.respond({ ...head, ...(where === "headers" ? large : {}) }, { waitForTrailers: true });
    stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0", ...(where === "trailers" ? large : {}) }));
    stream.end(delta("large"));
  });
  await listed(router, worker.name);
  using client = rawClient(router.address);
  const other = client.open();
  other.end(requestFrame(textRequest("a")));
  const untouched = await held.promise;
  for (const where of ["headers", "trailers"]) {
    const { status, message, code } = await client.call(requestFrame(textRequest("a")), { "x-large": where });
    expect([status, code]).toEqual([String(Status.INTERNAL), constants.NGHTTP2_NO_ERROR]);
    expect(message).toMatch(new RegExp(`${where} have \\d+ bytes, more than the limit of 16384 bytes`));
  }
  answer(untouched, "w1");
  expect((await readAnswer(other)).status).toBe("0");
  expect(worker.connections).toBe(1);
});

describe("after its first output", () => {
  test("a reset is WORKER_LOST, and half a message never arrives", async () => {
    const written = deferred<ServerHttp2Stream>();
    await using router = await temporaryRouter();
    await using worker = await rawWorker(router, "w1", (stream) => {
      stream.respond(head);
      stream.write(Buffer.concat([accepted("w1"), delta("whole"), delta("y".repeat(100)).subarray(0, 50)]));
      written.resolve(stream);
    });
    await listed(router, worker.name);
    using client = rawClient(router.address);
    const stream = client.open();
    const arrived = deferred();
    stream.once("data", () => arrived.resolve());
    const reading = readAnswer(stream);
    stream.end(requestFrame(textRequest("a")));
    await arrived.promise;
    (await written.promise).close(constants.NGHTTP2_CANCEL);
    const { status, body, trailers } = await reading;
    expect(status).toBe(String(Status.UNAVAILABLE));
    expect(body).toEqual(Buffer.concat([accepted("w1"), delta("whole")]));
    expect(trailers["grpc-message"]).toContain("lost in mid-stream");
  });

  test("an answer whose last message is torn is no success", async () => {
    await using router = await temporaryRouter();
    await using worker = await rawWorker(router, "w1", (stream) => {
      stream.respond(head, { waitForTrailers: true });
      stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
      stream.end(Buffer.concat([accepted("w1"), delta("whole"), delta("y").subarray(0, 7)]));
    });
    await listed(router, worker.name);
    using connection = inferenceClient(router.address);
    const heard = await hear(connection.client.generate(textRequest("a")));
    expect(heard.text).toBe("whole");
    expect(errorInfo(heard.error)).toEqual({ reason: "WORKER_LOST", metadata: { worker: "w1" } });
  });
});

describe("connections to workers", () => {
  test("one carries many streams", async () => {
    await using router = await temporaryRouter();
    await using worker = await rawWorker(router, "w1", (stream) => answer(stream, "w1"));
    await listed(router, worker.name);
    using connection = inferenceClient(router.address);
    await Promise.all(Array.from({ length: 50 }, () => hear(connection.client.generate(textRequest("a")))));
    expect(worker.connections).toBe(1);
  });

  test("after a GOAWAY running streams finish, and new ones get a new connection", async () => {
    const held = deferred<ServerHttp2Stream>();
    await using router = await temporaryRouter();
    await using worker = await rawWorker(router, "w1", (stream, _, session) => {
      if (worker.connections > 1) return answer(stream, "w1");
      session.goaway(constants.NGHTTP2_NO_ERROR);
      held.resolve(stream);
    });
    await listed(router, worker.name);
    using connection = inferenceClient(router.address);
    const running = hear(connection.client.generate(textRequest("a")));
    const stream = await held.promise;
    // The router has read the GOAWAY when it has answered a ping that was sent after it.
    await new Promise((resolve) => stream.session?.ping(resolve));
    const next = await hear(connection.client.generate(textRequest("b")));
    expect([next.error, next.text, worker.connections]).toEqual([undefined, "w1", 2]);
    answer(stream, "late");
    expect((await running).text).toBe("late");
  });

  test("a lost connection is replaced", async () => {
    await using router = await temporaryRouter();
    await using worker = await rawWorker(router, "w1", (stream) => answer(stream, "w1"));
    await listed(router, worker.name);
    using connection = inferenceClient(router.address);
    for (const expected of [1, 2]) {
      expect((await hear(connection.client.generate(textRequest("a")))).error).toBeUndefined();
      expect(worker.connections).toBe(expected);
      const [session] = worker.sessions;
      const closed = new Promise((resolve) => session?.once("close", resolve));
      session?.close();
      await closed;
    }
  });
});
