import { expect, test } from "vitest";
import { hash64 } from "./hash.js";

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
