import { expect, test } from "vitest";
import { parseAddress } from "./address.js";

test.for([
  ["localhost:8080", "localhost:8080", false],
  ["localhost", "localhost:50051", false],
  ["http://10.0.0.1:9", "10.0.0.1:9", false],
  ["https://grafts.example", "grafts.example:443", true],
  ["https://grafts.example:50051/", "grafts.example:50051", true],
  ["[::1]:50051", "[::1]:50051", false],
] as const)("%s is an address", ([text, target, tls]) => {
  expect(parseAddress(text)).toMatchObject({ target, tls });
});

test.for(["", "a b:1", "ftp://host:1", "host:99999", "host:0", "host:x", "::1"])("%j is none", (text) => {
  expect(() => parseAddress(text)).toThrow(expect.objectContaining({ code: "INVALID_REQUEST" }));
});
