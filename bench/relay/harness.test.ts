import { connect } from "node:http2";
import fc from "fast-check";
import { expect, test } from "vitest";
import { Backend } from "./backend.js";
import { frame, FrameReader } from "./http2/frames.js";
import { Load } from "./load.js";
import { SdkLoad } from "./sdk-load.js";
import { joinFleet } from "./relays/join-fleet.js";
import { temporaryRouter } from "../../test/support/router-fixture.js";
import { maxTokens, requestMessage, stamp, stampedMicros, stampedNumber, tokenMessage } from "./message.js";

test("frames are the same however their bytes are cut", () => {
  const frames = fc.array(fc.tuple(fc.nat(9), fc.nat(255), fc.nat(2 ** 31 - 1), fc.uint8Array({ maxLength: 300 })), { maxLength: 8 });
  fc.assert(
    fc.property(frames, fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1 }), fc.nat(30), (sent, cuts, skip) => {
      const heard: unknown[] = [];
      const reader = new FrameReader((type, flags, stream, bytes, start, end) => {
        heard.push([type, flags, stream, new Uint8Array(bytes.subarray(start, end))]);
      }, skip);
      const bytes = Buffer.concat([Buffer.alloc(skip, 7), ...sent.map((it) => frame(...it))]);
      for (let at = 0, turn = 0; at < bytes.length; turn++) {
        const size = cuts[turn % cuts.length]!;
        reader.push(bytes.subarray(at, at + size));
        at += size;
      }
      expect(heard).toEqual(sent.map(([type, flags, stream, payload]) => [type, flags, stream, new Uint8Array(payload)]));
    }),
  );
});

test("stamps are read as they were written", () => {
  fc.assert(
    fc.property(fc.nat(2 ** 31 - 1), fc.nat(1023), fc.nat(maxTokens - 1), (low, high, number) => {
      const bytes = Buffer.from(tokenMessage);
      const micros = high * 2 ** 31 + low;
      stamp(bytes, 0, number, micros);
      expect([stampedMicros(bytes, 0), stampedNumber(bytes, 0)]).toEqual([micros, number]);
      expect(bytes.every((byte, index) => byte === tokenMessage[index] || byte < 128)).toBe(true);
    }),
  );
});

/** Steps a backend until something holds. */
async function stepUntil(backend: Backend, holds: () => boolean): Promise<void> {
  while (!holds()) {
    backend.step();
    await new Promise((resolve) => setImmediate(resolve));
  }
}

test("the load reads every token that the backend sends", async () => {
  const backend = new Backend(5);
  const load = new Load(5);
  await load.start(await backend.listen(), 7, 2);
  await stepUntil(backend, () => load.responses >= 30);
  const { latencies, responses, bad } = load.take();
  load.close();
  backend.close();
  expect(bad).toBe(0);
  expect(latencies.length).toBeGreaterThanOrEqual(5 * responses);
});

test.each([false, true])("so does the SDK, in direct mode: %s", async (isDirect) => {
  const backend = new Backend(5, true);
  const port = await backend.listen();
  await using router = await temporaryRouter();
  const leave = await joinFleet(router.address, { name: "worker-1", address: `127.0.0.1:${port}` });
  const load = new SdkLoad(5, isDirect);
  await load.start(isDirect ? Number(router.address.split(":")[1]) : port, 4, 2);
  await stepUntil(backend, () => load.responses >= 10);
  const { latencies, responses, bad, why } = load.take();
  load.close();
  leave();
  backend.close();
  expect([bad, why]).toEqual([0, undefined]);
  expect(latencies.length).toBeGreaterThanOrEqual(5 * responses);
});

test("a relay that loses tokens is found out", async () => {
  const backend = new Backend(5);
  const load = new Load(6);
  await load.start(await backend.listen(), 1, 1);
  await stepUntil(backend, () => load.responses >= 1);
  const { bad, responses, why } = load.take();
  load.close();
  backend.close();
  expect([bad, why]).toEqual([responses, "a response had 5 of 6 messages"]);
});

test("the backend speaks HTTP/2 as others understand it, and keeps to their windows", async () => {
  const tokens = 400;
  const backend = new Backend(tokens);
  const session = connect(`http://127.0.0.1:${await backend.listen()}`, { settings: { initialWindowSize: 1000 } });
  const stream = session.request({ ":method": "POST", ":path": "/a.B/C", "content-type": "application/grpc" });
  stream.end(requestMessage);
  let received = 0;
  let status: unknown;
  let closed = false;
  stream.on("data", (chunk: Buffer) => (received += chunk.length));
  stream.on("trailers", (trailers) => (status = trailers["grpc-status"]));
  stream.on("close", () => (closed = true));
  await stepUntil(backend, () => closed);
  session.destroy();
  backend.close();
  expect([received, status, stream.rstCode]).toEqual([tokens * tokenMessage.length, "0", 0]);
});
