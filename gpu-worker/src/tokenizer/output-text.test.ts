import { expect, test } from "vitest";
import { OutputText, type OutputTextOptions } from "./output-text.js";
import { createTokenPieces } from "./token-pieces.js";

// Token n spells WORDS[n]; the last one is special.
const WORDS = ["a", "b", "ab", "abc", "x", "</s>"];
const pieces = createTokenPieces(
  WORDS.map((content, id) => ({ id, content, special: content === "</s>" })),
  { decode: (token) => token, leadingSpaces: 0 },
);

function output(options: Partial<OutputTextOptions>): OutputText {
  return new OutputText(pieces, { continues: true, stopTexts: [], minTokens: 0, includeStop: false, ...options });
}

test("a stop text over a token border ends the text before it", () => {
  const text = output({ stopTexts: ["bx"] });
  expect([text.push(0), text.push(1)]).toEqual(["a", ""]);
  expect(text.push(4)).toBe("");
  expect(text.stopText).toBe("bx");
});

test("what was held back comes when it cannot be a stop any more, or at the end", () => {
  const text = output({ stopTexts: ["bx"] });
  expect([text.push(2), text.push(0)]).toEqual(["a", "ba"]);
  text.push(1);
  expect(text.end()).toBe("b");
  expect(text.stopText).toBeUndefined();
});

test("the stop is given out where asked for, but nothing after it", () => {
  const text = output({ stopTexts: ["b"], includeStop: true });
  expect(text.push(3)).toBe("ab");
  expect(text.stopText).toBe("b");
});

test("a stop token is spelled out only where asked for", () => {
  expect(output({ includeStop: true }).end(5)).toBe("</s>");
  expect(output({ includeStop: false }).end(5)).toBe("");
});

test("no stop text counts before the fewest tokens", () => {
  const text = output({ stopTexts: ["b"], minTokens: 3 });
  expect([text.push(2), text.push(0)]).toEqual(["ab", "a"]);
  expect(text.push(1)).toBe("");
  expect(text.stopText).toBe("b");
});
