import { WorkerHello } from "@polygraft/api";
import { expect, test } from "vitest";
import { checkHello } from "./hello.js";

const good = {
  name: "host-1:50052",
  epoch: "e1",
  address: "127.0.0.1:50052",
  model: { name: "tiny" },
} satisfies Parameters<typeof WorkerHello.fromPartial>[0];

test.each([
  {},
  { weight: 0.5, zone: "z" },
  { address: "worker-1.local:1" },
  { address: "[::1]:65535" },
  { model: { name: "tiny", digest: `sha256:${"0a".repeat(32)}` } },
])("%j is welcome", (more) => {
  expect(checkHello(WorkerHello.fromPartial({ ...good, ...more }))).toBeUndefined();
});

test.each([
  ["hello.name", { name: "" }],
  ["hello.name", { name: "a b" }],
  ["hello.name", { name: "x".repeat(129) }],
  ["hello.epoch", { epoch: "" }],
  ["hello.address", { address: "127.0.0.1" }],
  ["hello.address", { address: "127.0.0.1:0" }],
  ["hello.address", { address: "127.0.0.1:65536" }],
  ["hello.address", { address: "0.0.0.0:1" }],
  ["hello.address", { address: "unix:/tmp/x" }],
  ["hello.address", { address: "a b:1" }],
  ["hello.weight", { weight: 0 }],
  ["hello.weight", { weight: Number.NaN }],
  ["hello.weight", { weight: Number.POSITIVE_INFINITY }],
  ["hello.zone", { zone: "z".repeat(129) }],
  ["hello.model.name", { model: { name: "" } }],
  ["hello.model.digest", { model: { name: "tiny", digest: "sha256:1" } }],
])("%s is refused: %j", (field, more) => {
  expect(checkHello(WorkerHello.fromPartial({ ...good, ...more }))).toMatchObject({ violations: [{ field }] });
});
