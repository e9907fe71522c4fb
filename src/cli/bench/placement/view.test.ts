import { expect, test } from "vitest";
import { viewCosts } from "./view.js";

test("a decision allocates nothing that grows with the fleet", async () => {
  const [few] = await viewCosts(200, 100);
  const [many] = await viewCosts(2000, 100);
  // A list of 2,000 workers, or one of their columns, would be 8,000 bytes or more.
  expect(many!.decisionBytes).toBeLessThan(few!.decisionBytes + 4000);
  expect(few!.decisionBytes).toBeGreaterThan(0);
}, 60_000);
