import { expect, test } from "vitest";
import { byteSize, decimal, hostPort, integer, integers, oneOf, repeated, seed } from "./arguments.js";

test.for([["512", 512], ["4K", 4096], ["1.5m", 1_572_864], ["2GiB", 2 ** 31], ["1TB", 2 ** 40]] as const)("%s is %i bytes", ([text, bytes]) => {
  expect(byteSize(text)).toBe(bytes);
});

test("what is no value of its kind is refused, and the message says what is", () => {
  expect(() => byteSize("much")).toThrow("such as 512M");
  expect(() => integer(1, 9)("10")).toThrow("from 1 to 9");
  expect(() => integer(1)("1.5")).toThrow("of 1 or more");
  expect(() => oneOf(4, 8)("5")).toThrow("one of 4, 8");
  expect(() => decimal(0, 1)("")).toThrow("from 0 to 1");
  expect(() => seed("-1")).toThrow("18446744073709551615");
  expect(() => seed("18446744073709551616")).toThrow();
  expect(() => hostPort("localhost")).toThrow("host:port");
  expect(() => hostPort("localhost:70000")).toThrow("host:port");
  expect(() => integers(0, 9)("1,x")).toThrow("integer");
});

test("values are parsed", () => {
  expect(integer(-5)("-3")).toBe(-3);
  expect(oneOf(4, 8)("8")).toBe(8);
  expect(seed("18446744073709551615")).toBe(2n ** 64n - 1n);
  expect(hostPort("[::1]:0")).toBe("[::1]:0");
  expect(integers(0, 9)("1, 2,3")).toEqual([1, 2, 3]);
  expect(repeated(integer(0))("2", [1])).toEqual([1, 2]);
});
