import { expect, test } from "vitest";
import type { Row } from "./measure.js";
import { qualityTables } from "./table.js";

const row: Row = {
  subject: "one", weights: "w4-g64", headBits: 4, activations: "int8", tokens: 90, adapterTokens: 30, perplexity: 7.25,
  perplexityChange: -0.0123, perplexityError: 0.004, sameBest: 0.915, meanAbsolute: 0.1, slope: 0.98, correlation: 0.99,
};

test("each model has a table, and the reference no differences from itself", () => {
  const reference = { ...row, weights: "f32", headBits: 32, activations: "f32" };
  const tables = qualityTables([reference, row, { ...reference, subject: "two" }]);
  expect(tables).toContain("**one**, 90 tokens, 30 with the adapter\n\n| weights");
  expect(tables).toContain("**two**");
  const lines = tables.split("\n").map((line) => line.split("|").map((cell) => cell.trim()).slice(1, -1));
  expect(lines).toContainEqual(["f32", "f32", "f32", "7.250", "", "", "", "", ""]);
  expect(lines).toContainEqual(["w4-g64", "4", "int8", "7.250", "−1.23 ± 0.40 %", "91.5 %", "0.1000", "0.980", "0.9900"]);
});
