import { expect, test } from "vitest";
import type { Setup } from "./cases.js";
import type { Contender } from "./driver.js";
import { measureRounds } from "./rounds.js";

const setup: Setup = { kind: "decode", streams: 1, context: 1, adapters: 0, tokens: 1 };

/** A contender that writes down what it is asked for. */
function recorder(name: string, log: string[], unsupported?: string): Contender {
  const did = (what: string): void => void log.push(`${name} ${what}`);
  let speed = 0;
  return {
    name,
    setup: async () => {
      did("setup");
      return unsupported === undefined ? { note: `${name} runs` } : { unsupported };
    },
    measure: async () => {
      did("measure");
      return ++speed;
    },
    end: async () => did("end"),
    stop: async () => did("stop"),
  };
}

test("contenders take turns, each round begins with another", async () => {
  const log: string[] = [];
  const entries = ["a", "b"].map((name) => ({ name, contender: recorder(name, log), setup }));
  const outcomes = await measureRounds(entries, 2, () => {});
  expect(log).toEqual(["a setup", "b setup", "a measure", "b measure", "b measure", "a measure", "a end", "b end"]);
  expect(outcomes).toEqual([
    { name: "a", speeds: [1, 2], note: "a runs" },
    { name: "b", speeds: [1, 2], note: "b runs" },
  ]);
});

test("who cannot do a case is left out, with the reason", async () => {
  const log: string[] = [];
  const entries = [
    { name: "a", contender: recorder("a", log), setup },
    { name: "b", contender: recorder("b", log, "no adapters"), setup },
  ];
  const outcomes = await measureRounds(entries, 1, () => {});
  expect(log).toEqual(["a setup", "b setup", "a measure", "a end"]);
  expect(outcomes[1]).toEqual({ name: "b", speeds: [], note: "no adapters" });
});
