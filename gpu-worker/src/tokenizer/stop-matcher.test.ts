import fc from "fast-check";
import { expect, test } from "vitest";
import { StopMatcher } from "./stop-matcher.js";

/** The definition: the stop text that ends first, the longest of those; the text before it. */
function define(text: string, stops: readonly string[]): { text: string; stop?: string } {
  for (let end = 1; end <= text.length; end++) {
    const found = stops.filter((stop) => text.slice(0, end).endsWith(stop)).sort((a, b) => b.length - a.length)[0];
    if (found) return { text: text.slice(0, end - found.length), stop: found };
  }
  return { text };
}

const letters = fc.string({ unit: fc.constantFrom("a", "b", "c", "é", "😀"), maxLength: 12 });
const stopTexts = fc.array(letters.filter((text) => text.length > 0 && text.length <= 6), { minLength: 1, maxLength: 4 });

test("finds the same stop wherever tokens cut the text, and never gives out a part of it", () => {
  fc.assert(
    fc.property(fc.array(letters, { maxLength: 8 }), stopTexts, (chunks, stops) => {
      const expected = define(chunks.join(""), stops);
      const matcher = new StopMatcher(stops);
      let text = "";
      let stop: string | undefined;
      for (const chunk of chunks) {
        const found = matcher.push(chunk);
        text += found.text;
        stop = found.stop;
        expect(expected.text.startsWith(text)).toBe(true);
        if (stop !== undefined) break;
      }
      if (stop === undefined) text += matcher.end();
      expect({ text, ...(stop !== undefined && { stop }) }).toEqual(expected);
    }),
    { numRuns: 5000 },
  );
});

test("holds back no more than what may still become a stop", () => {
  fc.assert(
    fc.property(letters, stopTexts, (text, stops) => {
      fc.pre(define(text, stops).stop === undefined);
      const matcher = new StopMatcher(stops);
      const given = matcher.push(text).text;
      const held = matcher.end();
      const possible = Array.from({ length: text.length + 1 }, (_, from) => text.slice(from)).find((end) =>
        stops.some((stop) => stop.startsWith(end) && stop !== end),
      );
      expect({ given, held }).toEqual({ given: text.slice(0, text.length - held.length), held: possible });
    }),
    { numRuns: 3000 },
  );
});

test("lets stops pass that are not honoured, and finds one that ends later", () => {
  const matcher = new StopMatcher(["###", "##!"]);
  expect(matcher.push("a###", false)).toEqual({ text: "a#" });
  expect(matcher.push("!b")).toEqual({ text: "", stop: "##!" });
});
