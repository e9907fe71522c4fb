import { expect, test } from "vitest";
import { hostOf, isName, routersBehind } from "./router-addresses.js";

test("hosts and names", () => {
  expect(["a.b:1", "https://a.b:1", "10.0.0.1:1", "[::1]:1"].map(hostOf)).toEqual(["a.b", "a.b", "10.0.0.1", "::1"]);
  expect(["a.b:1", "10.0.0.1:1", "[::1]:1"].map(isName)).toEqual([true, false, false]);
});

test.each<[string, readonly string[], readonly string[]]>([
  ["one", ["10.0.0.1"], ["10.0.0.1:7"]],
  ["several", ["10.0.0.1", "10.0.0.2", "10.0.0.1"], ["10.0.0.1:7", "10.0.0.2:7"]],
  ["one of both families", ["::1", "127.0.0.1"], ["router:7"]],
  ["several of both families", ["fd00::1", "10.0.0.1", "fd00::2", "10.0.0.2"], ["10.0.0.1:7", "10.0.0.2:7"]],
  ["more of the second family", ["fd00::1", "fd00::2", "10.0.0.1"], ["[fd00::1]:7", "[fd00::2]:7"]],
  ["none", [], []],
])("a name with %s", (_, addresses, routers) => {
  expect(routersBehind("router:7", addresses, false)).toEqual(routers);
});

test("with a scheme, too", () => {
  expect(routersBehind("https://router:7", ["fd00::1"], false)).toEqual(["https://[fd00::1]:7"]);
});

test("a name that has had several routers goes on by address", () => {
  expect(routersBehind("router:7", ["fd00::1", "10.0.0.1"], true)).toEqual(["10.0.0.1:7"]);
});
