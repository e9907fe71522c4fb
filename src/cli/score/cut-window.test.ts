import fc from "fast-check";
import { expect, test } from "vitest";
import { cutWindow } from "./cut-window.js";

function cutAll(text: string, length: number): string[] {
  const windows: string[] = [];
  for (let start = 0; start < text.length; start += windows.at(-1)!.length) windows.push(cutWindow(text, start, length));
  return windows;
}

test("windows add up to the text, none is empty, and none splits a character", () => {
  const text = fc.string({ unit: fc.constantFrom("a", "é", "𝄞", " ", "\n", "字"), maxLength: 60 });
  fc.assert(
    fc.property(text, fc.integer({ min: 0, max: 20 }), (whole, length) => {
      const windows = cutAll(whole, length);
      expect(windows.join("")).toBe(whole);
      for (const window of windows) {
        expect(window.length).toBeGreaterThan(0);
        // A lone character of two units is the only one that may exceed the length.
        expect(window.length).toBeLessThanOrEqual(Math.max(length, 2));
        // Half a character would not survive UTF-8.
        expect(Buffer.from(window).toString()).toBe(window);
      }
    }),
  );
});

test("a window ends before the space of the word that does not fit", () => {
  expect(cutAll("one two  three", 8)).toEqual(["one two", "  three"]);
  expect(cutAll("endless", 3)).toEqual(["end", "les", "s"]);
});
