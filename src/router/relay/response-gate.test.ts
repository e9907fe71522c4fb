import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { maxHeldBytes, ResponseGate } from "./response-gate.js";

const acceptedTag = 0x0a;
const deltaTag = 0x1a;

function message(tag: number, size: number, flag = 0): Buffer {
  const bytes = Buffer.alloc(5 + size, tag);
  bytes[0] = flag;
  bytes.writeUInt32BE(size, 1);
  return bytes;
}

/** Cuts bytes at the given places. */
function cut(bytes: Buffer, places: readonly number[]): Buffer[] {
  const ends = [...new Set(places.map((place) => place % (bytes.length + 1)))].sort((a, b) => a - b);
  return [0, ...ends].map((start, index) => bytes.subarray(start, ends[index] ?? bytes.length));
}

describe("ResponseGate", () => {
  test("holds the preamble until output, then lets both go", () => {
    const gate = new ResponseGate(acceptedTag);
    const accepted = message(acceptedTag, 20);
    const delta = message(deltaTag, 3);
    expect(gate.push(accepted)).toHaveLength(0);
    expect(gate.open).toBe(false);
    expect(gate.push(delta)).toEqual(Buffer.concat([accepted, delta]));
    expect(gate.open).toBe(true);
  });

  test("of a stream that goes on keeps the preamble, in whatever portions it comes", () => {
    const delta = message(deltaTag, 3);
    const bytes = Buffer.concat([message(acceptedTag, 20), message(acceptedTag, 7), delta, delta]);
    fc.assert(
      fc.property(fc.array(fc.nat(), { maxLength: 8 }), (places) => {
        const gate = new ResponseGate(acceptedTag, false);
        const passed = cut(bytes, places).map((part) => gate.push(part));
        expect(Buffer.concat(passed)).toEqual(Buffer.concat([delta, delta]));
      }),
    );
    const gate = new ResponseGate(acceptedTag, false);
    gate.push(message(acceptedTag, 20));
    expect(gate.release()).toHaveLength(0);
  });

  test("stays closed on half a message of output", () => {
    const gate = new ResponseGate(acceptedTag);
    gate.push(message(acceptedTag, 20));
    const delta = message(deltaTag, 10);
    expect(gate.push(delta.subarray(0, 12))).toHaveLength(0);
    expect([gate.open, gate.torn]).toEqual([false, true]);
    expect(gate.push(delta.subarray(12))).toHaveLength(25 + 15);
    expect([gate.open, gate.torn]).toEqual([true, false]);
  });

  test.each([
    ["a compressed message", message(acceptedTag, 8, 1)],
    ["an empty message", message(acceptedTag, 0)],
  ])("%s opens it", (_, bytes) => {
    const gate = new ResponseGate(acceptedTag);
    expect(gate.push(bytes)).toEqual(bytes);
    expect(gate.open).toBe(true);
  });

  test("a message too long to hold passes as it comes", () => {
    const gate = new ResponseGate(acceptedTag);
    const long = message(acceptedTag, maxHeldBytes);
    expect(gate.push(long.subarray(0, 1000))).toHaveLength(1000);
    expect([gate.open, gate.torn]).toEqual([true, true]);
    expect(gate.push(long.subarray(1000))).toHaveLength(long.length - 1000);
    expect(gate.torn).toBe(false);
  });

  test("a preamble too long to hold opens it", () => {
    const gate = new ResponseGate(acceptedTag);
    const preambles = Buffer.concat(Array.from({ length: 5 }, () => message(acceptedTag, 20_000)));
    const passed = [preambles.subarray(0, 60_000), preambles.subarray(60_000)].map((part) => gate.push(part));
    expect(gate.open).toBe(true);
    expect(Buffer.concat(passed).equals(preambles)).toBe(true);
  });

  test("release gives whole messages and keeps a torn one", () => {
    const gate = new ResponseGate(acceptedTag);
    const accepted = message(acceptedTag, 4);
    gate.push(Buffer.concat([accepted, message(deltaTag, 9).subarray(0, 6)]));
    expect(gate.release()).toEqual(accepted);
    expect(gate.torn).toBe(true);
  });

  test("however bytes are cut, what passes is a prefix of whole messages and in the end everything", () => {
    const messages = fc.array(
      fc.record({ tag: fc.constantFrom(acceptedTag, deltaTag), size: fc.oneof(fc.nat(40), fc.nat(100_000)) }),
      { minLength: 1, maxLength: 8 },
    );
    fc.assert(
      fc.property(messages, fc.array(fc.nat(), { maxLength: 12 }), (specs, places) => {
        const whole = specs.map(({ tag, size }) => message(tag, size));
        const sent = Buffer.concat(whole);
        const borders = new Set<number>([0]);
        let border = 0;
        for (const one of whole) borders.add((border += one.length));
        const longest = Math.max(...whole.map((one) => one.length));
        const gate = new ResponseGate(acceptedTag);
        let passed = 0;
        for (const chunk of cut(sent, places)) {
          const out = gate.push(chunk);
          expect(out.equals(sent.subarray(passed, passed + out.length))).toBe(true);
          passed += out.length;
          if (longest <= maxHeldBytes) expect(borders.has(passed)).toBe(true);
          if (passed > 0) expect(gate.open).toBe(true);
        }
        passed += gate.release().length;
        expect(passed).toBe(sent.length);
        expect(gate.torn).toBe(false);
      }),
    );
  });
});
