import { readFile } from "node:fs/promises";
import { ErrorReason } from "@polygraft/api";
import { Status } from "nice-grpc";
import { expect, test } from "vitest";

test("docs/errors.md explains each reason of the contract, and no other", async () => {
  const page = await readFile(new URL("../../docs/errors.md", import.meta.url), "utf8");
  const rows = [...page.matchAll(/^\| `([A-Z_]+)` \| ([A-Z_]+) \| (.+) \| (.+) \|$/gm)];
  const reasons = Object.keys(ErrorReason).filter((name) => name !== "UNSPECIFIED" && name !== "UNRECOGNIZED");
  expect(rows.map(([, reason]) => reason)).toEqual(reasons);
  for (const [, , status] of rows) expect(Object.keys(Status)).toContain(status);
});

test("docs/errors.md gives each reason the status that the contract gives it", async () => {
  const page = await readFile(new URL("../../docs/errors.md", import.meta.url), "utf8");
  const proto = await readFile(new URL("../../proto/polygraft/v1/errors.proto", import.meta.url), "utf8");
  const rows = page.matchAll(/^\| `([A-Z_]+)` \| ([A-Z_]+) \|/gm);
  const documented = [...rows].map(([, reason, status]) => [reason, status]);
  const comments = proto.matchAll(/\/\/ ([A-Z_]+): (?:(?!ERROR_REASON_)[^])*?ERROR_REASON_([A-Z_]+) = /g);
  const declared = [...comments].map(([, status, reason]) => [reason, status]);
  expect(documented).toEqual(declared);
});
