import fc from "fast-check";
import { expect, test } from "vitest";
import { TaskQueue } from "./task-queue.js";

test("tasks begin in order, no more at a time than allowed, and failures hold nobody up", async () => {
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 1, max: 4 }), fc.array(fc.tuple(fc.nat(5), fc.boolean()), { maxLength: 20 }), async (width, tasks) => {
      const queue = new TaskQueue(width);
      const begun: number[] = [];
      let running = 0;
      let most = 0;
      const results = tasks.map(async ([turns, fails], index) =>
        queue.run(async () => {
          begun.push(index);
          most = Math.max(most, ++running);
          for (let turn = 0; turn < turns; turn++) await Promise.resolve();
          running--;
          if (fails) throw new Error("fails");
          return index;
        }),
      );
      const outcomes = await Promise.allSettled(results);
      expect(begun).toEqual(tasks.map((_, index) => index));
      expect(most).toBeLessThanOrEqual(width);
      expect(outcomes.map(({ status }) => status === "rejected")).toEqual(tasks.map(([, fails]) => fails));
    }),
  );
});
