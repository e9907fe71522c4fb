import { expect, test } from "vitest";
import type { Served } from "./load.js";
import { ratioOf, summary, table } from "./summary.js";

const served = (firstMillis: number, hit = true): Served => ({ firstMillis, adapterMillis: hit ? 0 : 20, hit, gaps: [10, 30, 10] });

test("medians, and their ratio to the load where all adapters fit", () => {
  const rows = [
    summary("a", 1, [served(100), served(100), served(300)]),
    summary("a", 4, [served(150), served(150, false), served(900, false), served(150, false)]),
    summary("b", 1, [served(50)]),
  ];
  expect(rows[1]).toMatchObject({ requests: 4, hits: 0.25, firstP50: 150, firstP99: 900, adapterP50: 20, gapP50: 10, gapP99: 30 });
  expect(rows.map((row) => ratioOf(row, rows))).toEqual([1, 1.5, 1]);
  expect(table(rows)).toContain("1.50×");
});

test("where nobody waited for an adapter, there is no time of it", () => {
  expect(summary("a", 1, [served(100)]).adapterP50).toBeNaN();
});
