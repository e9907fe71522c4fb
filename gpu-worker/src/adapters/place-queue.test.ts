import fc from "fast-check";
import { expect, test } from "vitest";
import { PlaceQueue } from "./place-queue.js";

interface Claim {
  urgent: boolean;
  /** Others in line when it came. */
  readonly before: number;
  /** Places given since. */
  places: number;
}

const isUrgent = ({ urgent }: Claim): boolean => urgent;
const claim = (urgent: boolean, before = 0): Claim => ({ urgent, before, places: 0 });

test("first come, first served", () => {
  const queue = new PlaceQueue(isUrgent);
  const claims = [claim(false), claim(false)] as const;
  for (const each of claims) queue.enter(each);
  expect(queue.next()).toBe(claims[0]);
  queue.served(claims[0]);
  expect(queue.next()).toBe(claims[1]);
  queue.leave(claims[1]);
  expect(queue.next()).toBeUndefined();
});

test("what is urgent goes ahead, so often and no more", () => {
  const queue = new PlaceQueue(isUrgent, 2);
  const patient = claim(false);
  queue.enter(patient);
  for (let time = 0; time < 2; time++) {
    const hurry = claim(true);
    queue.enter(hurry);
    expect(queue.next()).toBe(hurry);
    expect(queue.cannotWait(patient)).toBe(false);
    queue.served(hurry);
  }
  queue.enter(claim(true));
  expect(queue.next()).toBe(patient);
  expect(queue.cannotWait(patient)).toBe(true);
});

test("a claim can become urgent while it waits", () => {
  const queue = new PlaceQueue(isUrgent);
  const [first, second] = [claim(false), claim(false)];
  queue.enter(first);
  queue.enter(second);
  second.urgent = true;
  expect(queue.next()).toBe(second);
});

/** What happens to the queue: a claim comes, the next is served, one gets into a hurry, one gives up. */
const happenings = fc.array(
  fc.oneof(
    { weight: 4, arbitrary: fc.record({ kind: fc.constant("enter" as const), urgent: fc.boolean() }) },
    { weight: 4, arbitrary: fc.record({ kind: fc.constant("serve" as const) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom("hurry" as const, "leave" as const), at: fc.nat(20) }) },
  ),
  { maxLength: 200 },
);

test("nobody starves: with p others in line, a claim has its place after (p + 1) (patience + 1) at most", () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 5 }), happenings, (patience, all) => {
      const queue = new PlaceQueue(isUrgent, patience);
      const serve = (): void => {
        const next = queue.next();
        if (!next) return;
        for (const each of queue.claims) each.places++;
        expect(next.places).toBeLessThanOrEqual((next.before + 1) * (patience + 1));
        queue.served(next);
      };
      for (const event of all) {
        const line = [...queue.claims];
        if (event.kind === "enter") queue.enter(claim(event.urgent, line.length));
        else if (event.kind === "serve") serve();
        else {
          const one = line[event.at % Math.max(1, line.length)];
          if (one && event.kind === "hurry") one.urgent = true;
          else if (one) queue.leave(one);
        }
      }
      while (queue.next()) serve();
    }),
    { numRuns: 500 },
  );
});
