import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { checkPolicy, prepareFleet, replicas } from "./index.js";

/** `count` workers that have `tokens` in flight together. */
const fleetOf = (count: number, tokens: number) =>
  prepareFleet(Array.from({ length: count }, (_, i) => ({ name: `w${i}`, inFlightTokens: tokens / count })));
const policy = { epsilon: 0.25, floorTokens: 1000, hysteresis: 0.5 };

describe("replicas", () => {
  test.each([
    [0, 1],
    [1000, 1],
    [1001, 1],
    [10_000, 1],
    [12_500, 1],
    [12_501, 2],
    [40_000, 4],
    [80_000, 7],
  ])("of 80,000 tokens on 8 workers, %i need %i", (tokens, k) => {
    expect(replicas(fleetOf(8, 80_000), { tokens, held: 0 }, policy)).toBe(k);
  });

  test("below the floor one worker is enough, whatever the share", () => {
    expect(replicas(fleetOf(8, 900), { tokens: 900, held: 0 }, policy)).toBe(1);
    expect(replicas(fleetOf(8, 1800), { tokens: 1800, held: 0 }, policy)).toBe(2);
  });

  test("what is held is kept until the load has fallen below half of what would have it added", () => {
    const fleet = fleetOf(8, 80_000);
    const at = (tokens: number) => replicas(fleet, { tokens, held: 3 }, policy);
    expect([25_001, 13_000, 12_501, 12_500, 6_250, 0].map(at)).toEqual([3, 3, 3, 2, 1, 1]);
  });

  test("laws: from 1 to all, never below the need, more load never means fewer, two loads close together mean the same", () => {
    const load = fc.integer({ min: 0, max: 100_000 });
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 20 }), load, load, fc.nat(25), (count, tokens, more, held) => {
        const fleet = fleetOf(count, 100_000);
        const k = replicas(fleet, { tokens, held }, policy);
        expect(k).toBeGreaterThanOrEqual(1);
        expect(k).toBeLessThanOrEqual(count);
        expect(k).toBeGreaterThanOrEqual(replicas(fleet, { tokens, held: 0 }, policy));
        expect(replicas(fleet, { tokens: tokens + more, held }, policy)).toBeGreaterThanOrEqual(k);
        // Once it holds what it needs, a fall to just above one half changes nothing.
        const grown = replicas(fleet, { tokens, held: 0 }, policy);
        const kept = Math.ceil((grown - 1) * Math.max(1000, (1.25 * 100_000) / count) * 0.5) + 1;
        expect(replicas(fleet, { tokens: Math.min(tokens, kept), held: grown }, policy)).toBe(grown);
      }),
    );
  });

  test.each([
    ["epsilon", { epsilon: 0 }],
    ["epsilon", { epsilon: Number.NaN }],
    ["floorTokens", { floorTokens: -1 }],
    ["hysteresis", { hysteresis: 0 }],
    ["hysteresis", { hysteresis: 1.1 }],
  ])("%s is checked", (field, bad) => {
    expect(() => checkPolicy(bad)).toThrow(field);
    expect(() => checkPolicy({})).not.toThrow();
  });
});
