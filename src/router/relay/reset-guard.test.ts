import fc from "fast-check";
import { expect, test } from "vitest";
import { ResetGuard } from "./reset-guard.js";

test("whatever the times, no more pass than the burst and the rate allow, and none is refused below them", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 20 }), fc.integer({ min: 1, max: 50 }), fc.array(fc.nat(200), { maxLength: 200 }), (burst, perSecond, gaps) => {
      let now = 0;
      const guard = new ResetGuard({ burst, perSecond }, () => now);
      const passed: number[] = [];
      for (const gap of gaps) {
        now += gap;
        const allowed = guard.allow();
        if (allowed) passed.push(now);
        for (const from of passed) {
          const among = passed.filter((at) => at >= from).length;
          expect(among).toBeLessThanOrEqual(burst + ((now - from) * perSecond) / 1000 + 1e-6);
        }
        const recent = passed.filter((at) => now - at < (1000 * burst) / perSecond);
        if (!allowed) expect(recent.length).toBeGreaterThan(0);
        if (recent.length === 0) expect(allowed).toBe(true);
      }
    }),
  );
});

test("a burst passes, the next one waits for its time", () => {
  let now = 0;
  const guard = new ResetGuard({ burst: 3, perSecond: 10 }, () => now);
  expect([guard.allow(), guard.allow(), guard.allow(), guard.allow()]).toEqual([true, true, true, false]);
  now = 99;
  expect(guard.allow()).toBe(false);
  now = 100;
  expect([guard.allow(), guard.allow()]).toEqual([true, false]);
});
