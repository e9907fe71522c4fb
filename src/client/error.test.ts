import { readFileSync } from "node:fs";
import { expect, test, vi } from "vitest";
import { PolygraftError, clientErrorCodes } from "./index.js";

const details = { code: "QUEUE_FULL", status: "RESOURCE_EXHAUSTED" } as const;

test("instanceof holds across two copies of the package", async () => {
  vi.resetModules();
  const copy = await import("./error.js");
  expect(copy.PolygraftError).not.toBe(PolygraftError);
  expect(new copy.PolygraftError("full", details)).toBeInstanceOf(PolygraftError);
  expect(new PolygraftError("full", details)).toBeInstanceOf(copy.PolygraftError);
});

test("instanceof is not fooled by other errors, nor by values that are none", () => {
  for (const value of [new Error("x"), { code: "QUEUE_FULL" }, null, undefined, "QUEUE_FULL"]) {
    expect(value instanceof PolygraftError).toBe(false);
  }
});

test("a subclass keeps the ordinary meaning of instanceof", () => {
  class Special extends PolygraftError {}
  expect(new PolygraftError("full", details)).not.toBeInstanceOf(Special);
  expect(new Special("full", details)).toBeInstanceOf(Special);
  expect(new Special("full", details)).toBeInstanceOf(PolygraftError);
});

test("the README lists every code of the SDK", () => {
  const readme = readFileSync(new URL("README.md", import.meta.url), "utf8");
  const listed = [...readme.matchAll(/^\| `([A-Z_]+)` \|/gm)].map(([, code]) => code);
  expect(listed).toEqual([...clientErrorCodes]);
});
