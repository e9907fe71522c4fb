import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { ExitCode } from "./exit.js";

const readme = readFileSync(new URL("README.md", import.meta.url), "utf8");

test("the README lists the commands that there are", () => {
  const program = readFileSync(new URL("program.ts", import.meta.url), "utf8");
  const made = [...program.matchAll(/^ {2}(\w+)Command,$/gm)].map(([, name]) => name);
  const listed = [...readme.matchAll(/^\| `polygraft (\w+)` \|/gm)].map(([, name]) => name);
  expect(listed).toEqual(made);
});

test("the README lists the exit codes that there are", () => {
  const listed = [...readme.matchAll(/^\| (\d+) \|/gm)].map(([, code]) => Number(code));
  expect(listed).toEqual(Object.values(ExitCode));
});
