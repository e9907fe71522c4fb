import { expect, test } from "vitest";
import { formatLogLine } from "./log-line.js";

test.for([
  ['{"time":"t","level":"info","msg":"joined","worker":"w1","streams":3}', "joined  worker=w1  streams=3"],
  ['{"level":"error","msg":"lost"}', "error: lost"],
  ["plain text", "plain text"],
  ['{"no":"message"}', '{"no":"message"}'],
  ["{broken", "{broken"],
])("%s", ([line, shown]) => {
  expect(formatLogLine(line!)).toBe(shown);
});
