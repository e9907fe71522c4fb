import { expect, test } from "vitest";
import { cases, selectCases } from "./cases.js";
import { median, resultOf } from "./result.js";
import { formatTable } from "./table.js";

const bench = cases.find(({ id }) => id === "decode-8-128")!;
const own = { name: "polygraft", speeds: [100, 300, 200], note: "" };

test("a row compares the medians with the best rival", () => {
  const slow = { name: "slow", speeds: [10, 10, 10], note: "" };
  const fast = { name: "fast", speeds: [50, 900, 40], note: "no flash attention" };
  expect(resultOf(bench, "135m", false, [own, slow, fast])).toEqual({
    case: "decode-8-128",
    title: "decode, 8 streams, context 128",
    shape: "135m",
    neighbour: false,
    rounds: 3,
    ours: 200,
    peer: 50,
    peerName: "fast",
    ratio: 4,
    target: 2.5,
    met: true,
    peers: { fast: 50, slow: 10 },
    notes: { fast: "no flash attention" },
  });
});

test("a target is met or missed by the ratio that was measured, before it is rounded", () => {
  const rival = { name: "rival", speeds: [200 / 2.49999], note: "" };
  expect(resultOf(bench, "135m", false, [own, rival])).toMatchObject({ ratio: 2.5, met: false });
});

test("a rival that cannot do a case leaves no ratio", () => {
  const unable = { name: "unable", speeds: [], note: "it cannot mix adapters" };
  expect(resultOf(bench, "135m", true, [own, unable])).toMatchObject({
    neighbour: true,
    peer: null,
    peerName: null,
    ratio: null,
    met: null,
    peers: {},
    notes: { unable: "it cannot mix adapters" },
  });
});

test("the median is the middle", () => {
  expect(median([3, 1, 2])).toBe(2);
  expect(median([4, 1, 3, 2])).toBe(2.5);
  expect(median([])).toBeNaN();
});

test("the table shows ratio, target and by how much it was missed", () => {
  const rival = { name: "rival", speeds: [100], note: "" };
  const unable = { name: "unable", speeds: [], note: "" };
  const rows = [
    resultOf(bench, "135m", false, [own, rival]),
    resultOf(bench, "1.1b", true, [own, rival]),
    resultOf(bench, "135m", false, [own, unable]),
  ];
  expect(formatTable(rows)).toBe(
    [
      "| shape                 | case                           | polygraft | best peer |       | ratio | target |                    |",
      "|-----------------------|--------------------------------|----------:|----------:|-------|------:|--------|--------------------|",
      "| 135m                  | decode, 8 streams, context 128 |       200 |       100 | rival | 2.00× | ≥ 2.5  | missed: 80 % of it |",
      "| 1.1b + busy neighbour | decode, 8 streams, context 128 |       200 |       100 | rival | 2.00× | ≥ 2    | met                |",
      "| 135m                  | decode, 8 streams, context 128 |       200 |         – |       |     – | ≥ 2.5  |                    |",
      "",
    ].join("\n"),
  );
});

test("cases are chosen by patterns", () => {
  const ids = (...patterns: string[]): string[] => selectCases(patterns).map(({ id }) => id);
  expect(ids("*")).toHaveLength(cases.length);
  expect(ids("decode-1-*", "prefill-512")).toEqual(["decode-1-128", "decode-1-1024", "prefill-512"]);
  expect(() => ids("decode-1")).toThrow('no case matches "decode-1"; there are decode-1-128,');
  expect(() => ids("decode.1.128")).toThrow("no case matches");
});

test("ids of cases are unique", () => {
  expect(new Set(cases.map(({ id }) => id)).size).toBe(cases.length);
});
