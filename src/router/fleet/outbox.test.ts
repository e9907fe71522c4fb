import { expect, test } from "vitest";
import { Outbox } from "./outbox.js";

test("gives messages in order, as they come, and ends", async () => {
  const outbox = new Outbox<number>(10);
  outbox.push(1);
  const seen: number[] = [];
  const reading = (async () => {
    for await (const message of outbox) {
      seen.push(message);
      if (message === 1) outbox.push(2);
      if (message === 2) outbox.close();
    }
  })();
  await reading;
  expect(seen).toEqual([1, 2]);
  expect(outbox.push(3)).toBe(false);
});

test("is bounded", () => {
  const outbox = new Outbox<number>(1);
  expect([outbox.push(1), outbox.push(2)]).toEqual([true, false]);
});

test("an error comes after the messages before it, and only the first counts", async () => {
  const outbox = new Outbox<number>(2);
  outbox.push(1);
  outbox.close(new Error("first"));
  outbox.close(new Error("second"));
  const seen: number[] = [];
  const reading = (async () => {
    for await (const message of outbox) seen.push(message);
  })();
  await expect(reading).rejects.toThrow("first");
  expect(seen).toEqual([1]);
});
