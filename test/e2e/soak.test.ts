import { expect, test } from "vitest";
import { soak, sum } from "../../bench/soak/soak.js";

// The same as `npm run soak`, for a shorter time. What it asserts holds however many operations a busy machine comes to.
const seconds = 120;
/** In so short a time the runtimes themselves still grow; a leak of the traffic's requests and adapters would be more. */
const mostGrowth = 48 * 2 ** 20;

test("random traffic with too little room for it leaves nothing behind", { timeout: 600_000 }, async () => {
  const { tally, pressure, memory, left, same } = await soak({ seconds, seed: 7 });
  expect(tally.surprises).toEqual([]);
  expect(left).toEqual([]);
  expect(same).toBe(true);
  expect([...memory.keys()]).toEqual(["router", "worker-1"]);
  for (const [name, { first, last }] of memory) expect({ name, grew: Math.max(0, last - first) }).toSatisfy(({ grew }) => grew < mostGrowth);
  expect(pressure.offDevice).toBeGreaterThan(0);
  expect(tally.adapterChanges).toBeGreaterThan(0);
  expect(sum(tally.operations)).toBeGreaterThan(100);
});
