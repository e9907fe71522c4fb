import fc from "fast-check";
import { expect, test } from "vitest";
import { avalanche, hash64 } from "./hash.js";

// Other languages must reproduce these.
test("test vectors", () => {
  expect(["", "a", "worker-0", "acme/support@v3", "größe"].map((text) => hash64(text))).toMatchInlineSnapshot(`
    [
      {
        "hi": 2872998923,
        "lo": 91794203,
      },
      {
        "hi": 444641715,
        "lo": 2507021586,
      },
      {
        "hi": 3160851741,
        "lo": 3378985492,
      },
      {
        "hi": 1280322656,
        "lo": 1260350333,
      },
      {
        "hi": 3449927484,
        "lo": 4057682756,
      },
    ]
  `);
});

test("a text that is ASCII only at its start is hashed by its UTF-8 bytes", () => {
  const encoder = new TextEncoder();
  const unit = fc.constantFrom("a", "~", "\u007f", "\u0080", "é", "😀", "\ud800", "\udc00");
  fc.assert(
    fc.property(fc.string({ unit }), (text) => {
      let hi = 0x811c9dc5;
      let lo = 0x050c5d1f;
      for (const byte of encoder.encode(text)) {
        hi = Math.imul(hi ^ byte, 0x01000193);
        lo = Math.imul(lo ^ byte, 0x01000193);
      }
      expect(hash64(text)).toEqual({ hi: avalanche(hi), lo: avalanche(lo) });
    }),
  );
});
