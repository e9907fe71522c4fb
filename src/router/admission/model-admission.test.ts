import { expect, test } from "vitest";
import type { Applicant } from "./admission.js";
import { ModelAdmission } from "./model-admission.js";

const applicant = (heard: string[]): Applicant => ({
  client: "a",
  priority: 0,
  tokens: 10,
  millisLeft: () => undefined,
  granted: () => heard.push("granted"),
  refused: ({ message }) => heard.push(message),
});

test("each model has places, a queue and a pace of its own, and one that is gone leaves nothing behind", () => {
  const served = new Set(["m", "n"]);
  let now = 0;
  let crowded = 0;
  const limits = { running: (model: string) => (model === "m" ? 1 : 2), waiting: 1, served: (model: string) => served.has(model), crowded: () => (crowded += 1) };
  const admission = new ModelAdmission(limits, () => now);
  const heard: string[] = [];
  const first = admission.of("m").apply(applicant(heard));
  const second = admission.of("m").apply(applicant(heard));
  admission.of("m").apply(applicant(heard));
  expect(heard).toEqual(["granted", expect.stringContaining('queue for "m" is full: 1 requests run and 1 wait')]);
  heard.length = 0;
  const others = [1, 2].map(() => admission.of("n").apply(applicant(heard)));
  expect([heard, crowded]).toEqual([["granted", "granted"], 2]);

  // What a slow model takes says nothing of another one.
  now = 60_000;
  first.leave(true);
  second.leave(true);
  heard.length = 0;
  admission.of("n").apply({ ...applicant(heard), millisLeft: () => 1000 });
  expect([heard, admission.of("n").waiting]).toEqual([[], 1]);

  for (const place of others) place.leave(false);
  served.delete("m");
  served.add("o");
  admission.of("o");
  expect(admission.size).toBe(2);
});
