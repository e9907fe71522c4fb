import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { resolveOptions } from "./options.js";

const here = import.meta.dirname;

/** What the router's sources say, without the file that defines its options. */
const sources = readdirSync(here, { recursive: true, encoding: "utf8" })
  .filter((name) => name.endsWith(".ts") && !name.endsWith(".test.ts") && !name.endsWith(".d.ts") && name !== "options.ts")
  .map((name) => readFileSync(join(here, name), "utf8"))
  .join("\n");

const options = resolveOptions({});
const nested = Object.entries({ relay: options.relay, keepalive: options.relay.keepalive });
const fields = [...Object.keys(options), ...nested.flatMap(([, values]) => Object.keys(values))];

test.each(fields)("somebody reads %s", (name) => {
  // `x.name`, or `{ name, … } = x`; neither a declaration `name:` nor a comment is enough.
  const isRead = new RegExp(`[\\w)\\]]\\.${name}\\b|\\{[^{}:;]*\\b${name}\\b[^{}:;]*\\} = `);
  expect(sources).toMatch(isRead);
});

test.each([
  ["processes", 0],
  ["processes", 65],
  ["processPort", 65_536],
  ["signingKeyHours", 0],
  ["signingKeyHours", 501],
  ["maxStreams", 0],
  ["maxQueue", -1],
  ["breakerFailures", 0],
  ["breakerOpenMillis", 0],
  ["heartbeatMillis", 0],
  ["suspectAfterMillis", 0],
  ["goneAfterMillis", NaN],
  ["drainSeconds", -1],
])("%s of %d is refused by name", (name, value) => {
  expect(() => resolveOptions({ [name]: value })).toThrow(name);
});
