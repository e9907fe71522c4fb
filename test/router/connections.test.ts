import { once } from "node:events";
import { constants } from "node:http2";
import type { ServerHttp2Stream } from "node:http2";
import { preferenceList, prepareFleet } from "@polygraft/placement";
import { describe, expect, test } from "vitest";
import { manualTimers } from "../support/manual-timers.js";
import { rawClient, requestFrame, responseFrame } from "../support/raw-grpc.js";
import { rawWorker } from "../support/raw-worker.js";
import { listed, temporaryRouter, textRequest } from "../support/router-fixture.js";
import { startWire } from "../support/wire.js";

const head = { ":status": 200, "content-type": "application/grpc" };
const delta = (text: string) => responseFrame({ event: { $case: "delta", value: { text } } });
const request = requestFrame(textRequest("a"));

/** Begins an answer; it ends with `end`. */
function begin(stream: ServerHttp2Stream, text: string): void {
  stream.respond(head, { waitForTrailers: true });
  stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
  stream.write(delta(text));
}

/** A request whose first choice of these two workers is the first. */
function preferring(first: string, second: string): Buffer {
  const fleet = prepareFleet([{ name: first }, { name: second }]);
  for (let key = 0; ; key++) {
    if (preferenceList(fleet, `${key}`, 1)[0] !== first) continue;
    return requestFrame({ ...textRequest("a"), routing: { key: `${key}` } });
  }
}

/** Streams as they come to a raw worker. */
function arrivals() {
  const streams: ServerHttp2Stream[] = [];
  const waiting = new Map<number, (stream: ServerHttp2Stream) => void>();
  return {
    take(stream: ServerHttp2Stream) {
      streams.push(stream);
      waiting.get(streams.length)?.(stream);
    },
    /** The stream that comes as number `count`, the first is 1. */
    nth(count: number): Promise<ServerHttp2Stream> {
      const known = streams[count - 1];
      return known === undefined ? new Promise((resolve) => waiting.set(count, resolve)) : Promise.resolve(known);
    },
  };
}

const portOf = (address: string) => Number(address.slice(address.lastIndexOf(":") + 1));

const closed = (stream: ServerHttp2Stream) => (stream.closed ? Promise.resolve([]) : once(stream, "close"));

describe("GOAWAY", () => {
  test("of a worker: streams that it will not serve go to the next one, those before them go on", async () => {
    const came = arrivals();
    await using router = await temporaryRouter();
    await using leaver = await rawWorker(router, "leaver", (stream) => came.take(stream));
    await using next = await rawWorker(router, "next", (stream) => (begin(stream, "next"), stream.end()));
    await listed(router, leaver.name, next.name);
    using client = rawClient(router.address);
    const body = preferring("leaver", "next");
    const kept = client.call(body);
    const served = await came.nth(1);
    const moved = client.call(body);
    const unserved = await came.nth(2);
    expect(leaver.connections).toBe(1);
    unserved.session?.goaway(constants.NGHTTP2_NO_ERROR, served.id);
    expect(await moved).toMatchObject({ status: "0", body: delta("next") });
    begin(served, "kept");
    served.end();
    expect(await kept).toMatchObject({ status: "0", body: delta("kept") });
  });

  test("to clients of a router that drains: what runs ends well, and nobody new comes in", async () => {
    const came = arrivals();
    const router = await temporaryRouter();
    await using worker = await rawWorker(router, "w1", (stream) => came.take(stream));
    await listed(router, "w1");
    using client = rawClient(router.address);
    const goaway = new Promise<number>((resolve) => client.session.once("goaway", resolve));
    const running = client.call(request);
    const stream = await came.nth(1);
    let drained = false;
    const draining = router.drain().then(() => (drained = true));
    expect(await goaway).toBe(constants.NGHTTP2_NO_ERROR);
    expect(client.session.closed).toBe(true);
    using late = rawClient(router.address);
    await expect(once(late.session, "connect")).rejects.toMatchObject({ code: "ECONNREFUSED" });
    expect(drained).toBe(false);
    begin(stream, "ended");
    stream.end();
    expect(await running).toMatchObject({ status: "0", body: delta("ended") });
    await draining;
    expect(worker.connections).toBe(1);
  });
});

describe("PING", () => {
  test("a client that does not answer is dropped in time, and its worker's stream is cancelled; others stay", async () => {
    const timers = manualTimers();
    const came = arrivals();
    // Pings to workers have a test of their own.
    const never = { intervalMillis: 1e9, timeoutMillis: 1e9 };
    await using router = await temporaryRouter({ timers, relay: { keepalive: never } });
    await using worker = await rawWorker(router, "w1", (stream) => came.take(stream));
    await listed(router, worker.name);
    const wire = await startWire(portOf(router.address));
    using lively = rawClient(router.address);
    const going = lively.call(request);
    const kept = await came.nth(1);
    using dead = rawClient(wire.address);
    dead.open().end(request);
    const lost = await came.nth(2);
    wire.freeze();
    timers.advance(30_000);
    // Those that read answer.
    await lively.settled();
    timers.advance(19_999);
    await lively.settled();
    expect(lost.closed).toBe(false);
    timers.advance(1);
    await closed(lost);
    expect(lost.rstCode).toBe(constants.NGHTTP2_CANCEL);
    begin(kept, "kept");
    kept.end();
    expect(await going).toMatchObject({ status: "0", body: delta("kept") });
    wire.close();
  });
});

describe("RST_STREAM of a client", () => {
  test.each([["before", 0], ["after", 1]])("frees the worker's stream at once, as CANCEL, %s the first output", async (_, outputs) => {
    const came = arrivals();
    await using router = await temporaryRouter();
    await using worker = await rawWorker(router, "w1", (stream) => came.take(stream));
    await listed(router, worker.name);
    using client = rawClient(router.address);
    const leaving = client.open();
    leaving.end(request);
    const left = await came.nth(1);
    const staying = client.call(request);
    const stayed = await came.nth(2);
    if (outputs > 0) {
      begin(left, "one");
      await once(leaving, "data");
    }
    leaving.close(constants.NGHTTP2_CANCEL);
    await closed(left);
    expect(left.rstCode).toBe(constants.NGHTTP2_CANCEL);
    begin(stayed, "stayed");
    stayed.end();
    expect(await staying).toMatchObject({ status: "0", body: delta("stayed") });
    expect(worker.connections).toBe(1);
  });

  test("however many, takes no connection to a worker from the streams that stay", async () => {
    const came = arrivals();
    await using router = await temporaryRouter();
    await using worker = await rawWorker(router, "w1", (stream) => came.take(stream));
    await listed(router, worker.name);
    using client = rawClient(router.address);
    const staying = client.call(request);
    const stayed = await came.nth(1);
    // More than a worker's HTTP/2 takes on one connection: it would end it, with all its streams. Honest clients, several.
    for (let round = 0, count = 1; round < 15; round++) {
      using other = rawClient(router.address);
      const streams = Array.from({ length: 100 }, () => other.open());
      for (const stream of streams) stream.end(request);
      const reached = await Promise.all(streams.map(() => came.nth(++count)));
      for (const stream of streams) stream.close(constants.NGHTTP2_CANCEL);
      await Promise.all(reached.map(closed));
    }
    begin(stayed, "stayed");
    stayed.end();
    expect(await staying).toMatchObject({ status: "0", body: delta("stayed") });
  });
});
