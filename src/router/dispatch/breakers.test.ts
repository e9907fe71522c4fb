import { expect, test } from "vitest";
import { Breakers } from "./breakers.js";

function breakers() {
  const clock = { now: 0 };
  const subject = new Breakers({ failures: 2, openMillis: 1000 }, () => clock.now);
  return { clock, subject, open: () => [...subject.closedTo()] };
}

test("a worker that fails so many times in a row is left alone for a while", () => {
  const { clock, subject, open } = breakers();
  subject.begin("w1")("bad");
  expect(open()).toEqual([]);
  subject.begin("w1")("bad");
  expect(open()).toEqual(["w1"]);
  clock.now = 1000;
  expect(open()).toEqual([]);
});

test("then one call tries it: a good end brings it back, a bad one leaves it alone again", () => {
  const { clock, subject, open } = breakers();
  for (let count = 0; count < 2; count++) subject.begin("w1")("bad");
  clock.now = 1000;
  const trial = subject.begin("w1");
  expect(open()).toEqual(["w1"]);
  trial("bad");
  expect(open()).toEqual(["w1"]);
  clock.now = 2000;
  const undecided = subject.begin("w1");
  undecided("none");
  expect(open()).toEqual([]);
  subject.begin("w1")("good");
  subject.begin("w1")("bad");
  expect(open()).toEqual([]);
});

test("a good end in between begins the count anew; what teaches nothing counts for nothing", () => {
  const { subject, open } = breakers();
  subject.begin("w1")("bad");
  subject.begin("w1")("good");
  subject.begin("w1")("bad");
  for (let count = 0; count < 9; count++) subject.begin("w1")("none");
  expect(open()).toEqual([]);
  const late = subject.begin("w1");
  late("bad");
  late("good");
  expect(open()).toEqual(["w1"]);
  subject.forget("w1");
  expect(open()).toEqual([]);
});
