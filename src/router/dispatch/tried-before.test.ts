import { Status } from "nice-grpc";
import { expect, test } from "vitest";
import { readTriedBefore, triedHeaders } from "./tried-before.js";

test("what a client was told is what it tells", () => {
  const { "polygraft-attempts": attempts, ...headers } = triedHeaders(2, ["a:1", "b:1", "a:1"]);
  const said = readTriedBefore({ ...headers, "grpc-previous-rpc-attempts": attempts });
  expect(said).toEqual({ attempts: 2, workers: new Set(["a:1", "b:1"]) });
});

test.each([[{}], [{ "grpc-previous-rpc-attempts": "-1", "polygraft-tried": "a b, ,é" }], [{ "grpc-previous-rpc-attempts": "99999" }]])(
  "%j says nothing",
  (headers) => {
    expect(readTriedBefore(headers)).toEqual({ attempts: 0, workers: new Set() });
  },
);

const digest = `sha256:${"0a".repeat(32)}`;

test("the weights to go on with are told as they are", () => {
  expect(readTriedBefore({ "polygraft-weights": digest })).toMatchObject({ weights: digest });
});

test.each(["", "sha256:", digest.slice(0, -1), `${digest}0`, digest.toUpperCase(), `${digest}, ${digest}`, "x".repeat(10_000)])(
  "%.40j are no weights, and are refused",
  (weights) => {
    const failure = readTriedBefore({ "polygraft-weights": weights });
    expect(failure).toMatchObject({ status: Status.INVALID_ARGUMENT, violations: [{ field: "polygraft-weights" }] });
  },
);

test("no more than eight workers are told or heeded", () => {
  const names = Array.from({ length: 20 }, (_, index) => `w${index}`);
  expect(triedHeaders(1, names)["polygraft-tried"]?.split(",")).toEqual(names.slice(-8));
  expect(readTriedBefore({ "polygraft-tried": names.join() })).toMatchObject({ workers: new Set(names.slice(0, 8)) });
});
