import { readFileSync } from "node:fs";
import { expect, test } from "vitest";

test("each reason of a placement is explained, and no other", () => {
  const source = readFileSync("src/placement/place.ts", "utf8");
  const begin = source.indexOf("export type PlacementReason");
  const reasons = [...source.slice(begin, source.indexOf(";", begin)).matchAll(/\| "([a-z-]+)"/g)].map(([, reason]) => reason);
  expect(reasons.length).toBeGreaterThan(3);
  const explained = readFileSync("docs/explaining-a-route.md", "utf8").split("## The reasons")[1] ?? "";
  const rows = [...explained.matchAll(/^\| `([a-z-]+)` \|/gm)].map(([, reason]) => reason);
  // "pinned" is the router's own: there was nothing to place.
  expect(rows.sort()).toEqual([...reasons, "pinned"].sort());
});
