import { expect, test } from "vitest";
import { runCli } from "../support/run-cli.js";

const small = ["bench", "placement", "--workers", "4", "--adapters", "500", "--requests", "400"];

test("prints one object a run, then one for what a change of the fleet moves", async () => {
  const { code, stdout } = await runCli([...small, "--traces", "zipf", "flash", "--json"]);
  expect(code).toBe(0);
  const rows = stdout.trimEnd().split("\n").map((line) => JSON.parse(line) as Record<string, unknown>);
  const policies = ["polygraft", "bounded-load ring", "consistent-hash", "hashring", "least-loaded", "random"];
  const runs = rows.filter((row) => "trace" in row);
  expect(runs.map(({ trace, policy }) => [trace, policy])).toEqual(
    ["zipf", "flash"].flatMap((trace) => policies.map((policy) => [trace, policy])),
  );
  for (const { imbalance, misses, decisionP99Micros } of runs as Record<string, number>[]) {
    expect(imbalance).toBeGreaterThanOrEqual(1);
    expect(misses).toBeGreaterThan(0);
    expect(decisionP99Micros).toBeGreaterThan(0);
  }
  expect(rows.filter((row) => "join" in row)).toHaveLength(4);
});

test("prints a table, and its progress beside it", async () => {
  const { code, stdout, stderr } = await runCli([...small, "--traces", "zipf"]);
  expect(code).toBe(0);
  expect(stdout).toMatch(/^trace +workers +policy +imbalance/);
  expect(stdout).toContain("keys moved by a join");
  expect(stderr).toContain("6 of 6: zipf, 4 workers, random");
});

test("--view prints what both kinds of view cost", async () => {
  const { code, stdout } = await runCli(["bench", "placement", "--view", "--workers", "4,300", "--json"]);
  expect(code).toBe(0);
  const rows = stdout.trimEnd().split("\n").map((line) => JSON.parse(line) as Record<string, unknown>);
  expect(rows.map(({ workers, view }) => [workers, view])).toEqual([4, 300].flatMap((count) => [[count, "kept"], [count, "anew"]]));
  for (const { joinMicros, decisionP99Micros } of rows as Record<string, number>[]) {
    expect(joinMicros).toBeGreaterThan(0);
    expect(decisionP99Micros).toBeGreaterThan(0);
  }
});

test.each([
  [["--workers", "1"], "--workers"],
  [["--traces", "storm"], "storm"],
  [["--epsilon", "0"], "--epsilon"],
])("%j is refused by name", async (args, name) => {
  const { code, stderr } = await runCli(["bench", "placement", ...args]);
  expect(code).toBe(2);
  expect(stderr).toContain(name);
});
