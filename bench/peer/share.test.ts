import { expect, test } from "vitest";
import { cases } from "./cases.js";
import { setupLine } from "./protocol.js";
import { resultOf } from "./result.js";
import { shareInWords, shareOf, withAdaptersOnly, withoutAdapters } from "./share.js";

const bench = cases.find(({ id }) => id === "share-decode-8-128")!;
/** Tokens per second of eight streams whose steps take so many milliseconds. */
const speeds = (millis: number): number[] => [8000 / millis];
const row = (base: number, mixed: number, adapted: number) =>
  resultOf(bench, "135m", false, [
    { name: "polygraft", speeds: speeds(mixed), note: "" },
    { name: withoutAdapters, speeds: speeds(base), note: "" },
    { name: withAdaptersOnly, speeds: speeds(adapted), note: "" },
  ]);

test("a base stream's share is the work of the adapters beside it", () => {
  expect(setupLine(bench.setup)).toBe("setup kind=decode streams=8 context=128 adapters=7 bases=1 tokens=16");
  const share = shareOf(row(4, 5, 5.6), 8, 1);
  expect(share?.extra).toBeCloseTo(1, 2);
  expect(share?.due).toBeCloseTo(1.4, 2);
  expect(row(4, 5, 5.6).ratio).toBe(0.8);
});

test("it is told in words, in rows that are about it alone", () => {
  const [text] = shareInWords(row(4, 6, 5.6));
  expect(text).toContain("6.00 ms  if 1 uses the base and 7 have an adapter each: 0.75 ms a token in the mean");
  expect(text).toContain("after 6.00 ms instead of 4.00 ms (+50 %)");
  expect(text).toContain("Its share is 7/8 of what 8 adapters cost, 1.40 ms; it pays 0.60 ms beyond that.");
  expect(shareInWords({ ...row(4, 6, 5.6), case: "decode-8-128" })).toEqual([]);
  expect(shareInWords({ ...row(4, 6, 5.6), peers: {} })).toEqual([]);
});
