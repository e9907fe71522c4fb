import { deflateSync, gzipSync } from "node:zlib";
import fc from "fast-check";
import { Status } from "nice-grpc";
import { describe, expect, test } from "vitest";
import { framed, RequestReader } from "./request-reader.js";

const limit = 1000;

function compressed(body: Buffer): Buffer {
  const frame = framed(body);
  frame[0] = 1;
  return frame;
}

describe("RequestReader", () => {
  test("reads one message, however it is cut", async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: limit }), fc.integer({ min: 1, max: 50 }), async (bytes, step) => {
        const reader = new RequestReader(limit);
        const frame = framed(Buffer.from(bytes));
        for (let at = 0; at < frame.length; at += step) {
          expect(reader.complete).toBe(false);
          expect(reader.push(frame.subarray(at, at + step))).toBeUndefined();
        }
        expect(reader.complete).toBe(true);
        expect(await reader.message("identity")).toEqual(Buffer.from(bytes));
      }),
    );
  });

  test("refuses a message over the limit from its prefix alone", () => {
    const reader = new RequestReader(limit);
    const prefix = framed(Buffer.alloc(limit + 1)).subarray(0, 5);
    expect(reader.push(prefix)).toMatchObject({ status: Status.RESOURCE_EXHAUSTED });
  });

  test("refuses bytes after the message, and unknown flags", () => {
    expect(new RequestReader(limit).push(Buffer.concat([framed(Buffer.from("a")), Buffer.from("b")]))).toMatchObject({
      status: Status.UNIMPLEMENTED,
    });
    expect(new RequestReader(limit).push(Buffer.from([2, 0, 0, 0, 0]))).toMatchObject({
      status: Status.INVALID_ARGUMENT,
    });
  });

  test.each([
    ["gzip", gzipSync],
    ["deflate", deflateSync],
  ])("inflates %s within the limit", async (encoding, compress) => {
    const reader = new RequestReader(limit);
    reader.push(compressed(compress(Buffer.alloc(limit, "x"))));
    expect(await reader.message(encoding)).toEqual(Buffer.alloc(limit, "x"));
    const bomb = new RequestReader(limit);
    bomb.push(compressed(compress(Buffer.alloc(100 * limit))));
    expect(await bomb.message(encoding)).toMatchObject({ status: Status.RESOURCE_EXHAUSTED });
  });

  test.each([
    ["br", Status.UNIMPLEMENTED],
    ["identity", Status.INVALID_ARGUMENT],
    ["gzip", Status.INVALID_ARGUMENT],
  ])("a compressed flag on what is not %s", async (encoding, status) => {
    const reader = new RequestReader(limit);
    reader.push(compressed(Buffer.from("not compressed at all")));
    expect(await reader.message(encoding)).toMatchObject({ status });
  });
});

test("framed joins parts behind one prefix", () => {
  expect(framed(Buffer.from("ab"), Buffer.from("c"))).toEqual(Buffer.from([0, 0, 0, 0, 3, 97, 98, 99]));
});
