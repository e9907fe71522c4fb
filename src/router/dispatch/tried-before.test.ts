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

test("no more than eight workers are told or heeded", () => {
  const names = Array.from({ length: 20 }, (_, index) => `w${index}`);
  expect(triedHeaders(1, names)["polygraft-tried"]?.split(",")).toEqual(names.slice(-8));
  expect(readTriedBefore({ "polygraft-tried": names.join() }).workers.size).toBe(8);
});
