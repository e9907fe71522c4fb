import fc from "fast-check";
import { expect, test } from "vitest";
import { decodeUtf8, decodeValidUtf8, unfinishedBytes } from "./utf8.js";

/** Bytes that are mostly leads and continuations: the interesting ones. */
const bytes = fc
  .array(fc.oneof(fc.integer({ min: 0x80, max: 0xff }), fc.constantFrom(0x41, 0xe0, 0xed, 0xf0, 0xf4)), { maxLength: 8 })
  .map((values) => Uint8Array.from(values));

test("what is unfinished is what a streaming decoder holds back", () => {
  fc.assert(
    fc.property(bytes, (input) => {
      const streaming = new TextDecoder("utf-8", { ignoreBOM: true }).decode(input, { stream: true });
      expect(decodeUtf8(input.subarray(0, input.length - unfinishedBytes(input)))).toBe(streaming);
    }),
    { numRuns: 5000 },
  );
});

test("valid UTF-8 is decoded, a byte order mark included", () => {
  expect(decodeValidUtf8(Buffer.from("\u{feff}añ😀"))).toBe("\u{feff}añ😀");
  expect(decodeValidUtf8(Uint8Array.of(0xf0, 0x9f))).toBeUndefined();
  expect(decodeUtf8(Uint8Array.of(0x61, 0xff))).toBe("a\u{fffd}");
});
