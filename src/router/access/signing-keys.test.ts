import { expect, test } from "vitest";
import { manualTimers } from "../../../test/support/manual-timers.js";
import { SigningKeys } from "./signing-keys.js";

const rotation = { keyMillis: 1000, noticeMillis: 100, afterlifeMillis: 10 };

test("workers know a key before it signs, and until the last of what it signed has expired", () => {
  const timers = manualTimers();
  const keys = new SigningKeys(rotation, timers);
  const told: (readonly string[])[] = [];
  const ids = () => keys.known.map(({ id }) => id);
  keys.onChange(() => told.push(ids()));
  const first = keys.current.known.id;
  expect(ids()).toEqual([first]);

  for (let old = first; told.length < 6; ) {
    timers.advance(1000);
    const [, next = ""] = ids();
    expect([told.at(-1), keys.current.known.id]).toEqual([[old, next], old]);
    timers.advance(100);
    expect([ids(), keys.current.known.id]).toEqual([[old, next], next]);
    timers.advance(9);
    expect(ids()).toEqual([old, next]);
    timers.advance(1);
    expect([told.at(-1), ids()]).toEqual([[next], [next]]);
    old = next;
  }
  expect(new Set(told.flat()).size).toBe(4);
  keys.close();
  expect(timers.pending).toBe(0);
});

test("without a rotation the first key stays", () => {
  const timers = manualTimers();
  const keys = new SigningKeys(undefined, timers);
  expect([keys.known.length, timers.pending]).toEqual([1, 0]);
});
