import fc from "fast-check";
import { expect, test } from "vitest";
import { RetryBudget } from "./index.js";

test("repetitions are at most a burst and a share of the requests that succeed", () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 20 }), fc.constantFrom(0, 0.25, 1), fc.array(fc.boolean(), { maxLength: 500 }), (burst, share, outcomes) => {
      const budget = new RetryBudget({ burst, share });
      let [succeeded, repeated] = [0, 0];
      for (const succeeds of outcomes) {
        if (!succeeds) {
          const left = burst + succeeded * share - repeated;
          const granted = budget.withdraw();
          repeated += granted ? 1 : 0;
          if (left < 1) expect(granted).toBe(false);
        } else {
          budget.deposit();
          succeeded += 1;
        }
      }
      expect(repeated).toBeLessThanOrEqual(burst + succeeded * share);
    }),
  );
});

test("where hardly any fail, each may be sent again", () => {
  const budget = new RetryBudget({ burst: 1, share: 0.25 });
  for (let round = 0; round < 100; round++) {
    expect(budget.withdraw()).toBe(true);
    for (let good = 0; good < 4; good++) budget.deposit();
  }
});
