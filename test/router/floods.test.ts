import { readFileSync } from "node:fs";
import { connect as connectSocket } from "node:net";
import type { Socket } from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Router } from "../../src/router/index.js";
import { frameTypes, frameTypesIn, http2Frame, ping, preface, settings } from "../support/http2-frames.js";
import { generatePath, rawClient, requestFrame, responseFrame } from "../support/raw-grpc.js";
import { rawWorker } from "../support/raw-worker.js";
import type { RawWorker } from "../support/raw-worker.js";
import { routerProcess } from "../support/router-process.js";
import { listed, temporaryRouter, textRequest } from "../support/router-fixture.js";

const request = requestFrame(textRequest("a"));
const delta = responseFrame({ event: { $case: "delta", value: { text: "a" } } });

let router: Router & AsyncDisposable;
let worker: RawWorker;
beforeAll(async () => {
  router = await temporaryRouter();
  worker = await rawWorker(router, "w1", (stream, headers) => {
    stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
    stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
    stream.write(delta);
    // One that is to last goes on for as long as its client takes it.
    if (headers["x-steady"] === undefined) return void stream.end();
    stream.on("drain", () => stream.write(delta));
    const beat = setInterval(() => stream.write(delta), 1);
    stream.on("close", () => clearInterval(beat));
  });
  await listed(router, "w1");
});
afterAll(async () => {
  await worker[Symbol.asyncDispose]();
  await router.close();
});

/** A header block with an indexed ":method POST", a literal ":path" and content type: a call, opened with stream 1. */
const call = Buffer.concat([
  Buffer.from([0x83, 0x86, 0x44, generatePath.length]),
  Buffer.from(generatePath),
  Buffer.from([0x5f, 16]),
  Buffer.from("application/grpc"),
]);
const opened = http2Frame(frameTypes.headers, 4, 1, call);
const unended = http2Frame(frameTypes.headers, 0, 1, call);
const [lastPing, lastPong] = [0, 1].map((flags) => http2Frame(frameTypes.ping, flags, 0, Buffer.from("lastping"))) as [Buffer, Buffer];
const windowUpdate = Buffer.from([0, 0, 0, 1]);
const frame = (type: number, flags: number, stream: number, payload: Buffer | number) =>
  http2Frame(type, flags, stream, typeof payload === "number" ? Buffer.alloc(payload) : payload);

/**
 * Sends frames again and again and reads nothing; then a PING, whose answer says that the router has read all of them.
 * Resolves to what the router made of the connection.
 */
async function flood(first: readonly Buffer[], again: Buffer, times: number, address = router.address): Promise<"ended" | "kept"> {
  const { hostname, port } = new URL(`http://${address}`);
  const socket = connectSocket({ host: hostname, port: Number(port) });
  socket.pause();
  const closed = new Promise<"ended">((resolve) => socket.on("error", () => resolve("ended")).on("close", () => resolve("ended")));
  socket.write(Buffer.concat([preface, settings, ...first]));
  const many = Buffer.concat(Array.from({ length: 1000 }, () => again));
  for (let sent = 0; sent < times && !socket.destroyed; sent += 1000) await written(socket, many, closed);
  let received = Buffer.alloc(0);
  const answered = new Promise<"ended" | "kept">((resolve) =>
    socket.on("data", (chunk: Buffer) => {
      received = Buffer.concat([received, chunk]);
      if (frameTypesIn(received).includes(frameTypes.goaway)) resolve("ended");
      else if (received.includes(lastPong)) resolve("kept");
    }),
  );
  socket.resume();
  socket.write(lastPing);
  const end = await Promise.race([closed, answered]);
  socket.destroy();
  return end;
}

function written(socket: Socket, bytes: Buffer, closed: Promise<unknown>): Promise<unknown> {
  return Promise.race([closed, new Promise((resolve) => socket.write(bytes, resolve))]);
}

describe("a flood on one connection leaves the others alone", () => {
  test.each<[string, readonly Buffer[], Buffer, number, "ended" | "kept"]>([
    ["PING", [], ping, 1_000_000, "ended"],
    ["SETTINGS", [], frame(frameTypes.settings, 0, 0, 6), 1_000_000, "ended"],
    ["CONTINUATION", [unended], frame(frameTypes.continuation, 0, 1, 1000), 50_000, "ended"],
    ["empty CONTINUATION", [unended], frame(frameTypes.continuation, 0, 1, 0), 200_000, "ended"],
    ["empty DATA", [opened], frame(frameTypes.data, 0, 1, 0), 200_000, "kept"],
    ["WINDOW_UPDATE", [opened], frame(frameTypes.windowUpdate, 0, 0, windowUpdate), 200_000, "kept"],
    ["PRIORITY", [], frame(frameTypes.priority, 0, 3, Buffer.from([0, 0, 0, 0, 16])), 200_000, "kept"],
    ["frames of an unknown type", [], frame(0xee, 0, 0, 16), 200_000, "kept"],
    ["RST_STREAM of one stream", [opened], frame(frameTypes.reset, 0, 1, 4), 200_000, "ended"],
  ])("%s", async (_, first, again, times, end) => {
    using steady = rawClient(router.address);
    const going = steady.open({ "x-steady": "1" });
    going.end(request);
    let beats = 0;
    going.on("data", () => (beats += 1));
    expect(await flood(first, again, times)).toBe(end);
    const heard = beats;
    await new Promise((resolve) => going.once("data", resolve));
    expect(beats).toBeGreaterThan(heard);
    expect(await steady.call(request)).toMatchObject({ status: "0", body: delta });
  });
});

/** The most memory that a process has ever had, in bytes, as Linux tells. */
function peakMemory(pid: number): number {
  const [, kibibytes = ""] = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8")) ?? [];
  return Number(kibibytes) * 1024;
}

test.runIf(process.platform === "linux")("a router's memory does not grow with what floods send", async () => {
  await using own = await routerProcess();
  const pid = own.router.pid!;
  const bound = 64 * 1024 * 1024;
  // The first connection has its costs.
  await flood([], ping, 1000, own.address);
  const before = peakMemory(pid);
  const kinds: readonly (readonly [first: readonly Buffer[], again: Buffer, times: number, end: "ended" | "kept"])[] = [
    [[], frame(0xee, 0, 0, 16_000), 16_000, "kept"],
    [[unended], frame(frameTypes.continuation, 0, 1, 16_000), 16_000, "ended"],
    [[], ping, 1_000_000, "ended"],
    [[], frame(frameTypes.settings, 0, 0, 6), 1_000_000, "ended"],
  ];
  // Of the first alone four times the bound is sent, and read: its connection is kept.
  for (const [first, again, times, end] of kinds) expect(await flood(first, again, times, own.address)).toBe(end);
  expect(peakMemory(pid) - before).toBeLessThan(bound);
}, 120_000);
