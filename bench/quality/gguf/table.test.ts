import { expect, test } from "vitest";
import { ggufTables } from "./table.js";
import type { GgufRow } from "./measure.js";

test("a file's name stands where its rows begin", () => {
  const row: GgufRow = {
    subject: "tiny",
    file: "Q4_0",
    bytes: 3_400_000,
    engine: "exact",
    weights: "f32",
    tokens: 7,
    perplexity: 12.5,
    perplexityChange: -0.01,
    perplexityError: 0.002,
    sameBest: 0.5,
    meanAbsolute: 0.125,
  };
  const lines = ggufTables([row, { ...row, engine: "llama.cpp", weights: "" }]).split("\n");
  expect(lines[0]).toBe("**tiny**, 7 tokens");
  expect(lines[4]?.replaceAll(/ +/g, " ")).toBe("| Q4_0 | 3.4 | exact | f32 | 12.500 | −1.00 ± 0.20 % | 50.0 % | 0.1250 |");
  expect(lines[5]).toMatch(/^\| +\| +\| llama\.cpp \| +\|/);
});
