import { expect, test } from "vitest";
import type { Setup } from "./cases.js";
import { Driver } from "./driver.js";
import { parseReply, setupLine } from "./protocol.js";

const setup: Setup = { kind: "decode", streams: 8, context: 128, adapters: 2, tokens: 16 };

/** A driver in JavaScript whose answer to each command is an expression in `line`. */
function scripted(answer: string, first = '{"driver":"x","device":"cpu"}'): Promise<Driver> {
  const script = `
    console.log("a library greets");
    console.log(${JSON.stringify(first)});
    require("node:readline").createInterface({ input: process.stdin }).on("line", (line) => { ${answer} });`;
  return Driver.start("x", { command: process.execPath, args: ["-e", script] });
}

test("a driver is set up, measured and ended, and what libraries print is no answer", async () => {
  const driver = await scripted(`
    console.log("noise {");
    console.log("{ more noise");
    if (line.startsWith("setup ")) console.log(JSON.stringify({ ready: true, note: line }));
    if (line === "measure") console.log(JSON.stringify({ tokens: 30, seconds: 0.5 }));
    if (line === "end") console.log(JSON.stringify({ ended: true }));`);
  expect(driver.device).toBe("cpu");
  expect(await driver.setup(setup)).toMatchObject({ note: "setup kind=decode streams=8 context=128 adapters=2 tokens=16" });
  expect(await driver.measure()).toBe(60);
  await driver.end();
  await driver.stop();
});

test("what a driver cannot do is an answer, what goes wrong an error", async () => {
  const driver = await scripted(`
    const answer = line === "measure" ? { error: "out of memory" } : { unsupported: "no adapters" };
    console.log(JSON.stringify(answer));`);
  expect(await driver.setup(setup)).toEqual({ unsupported: "no adapters" });
  await expect(driver.measure()).rejects.toThrow("x: out of memory");
  await driver.stop();
});

test("a driver that ends early is reported with its last words, now and later", async () => {
  const driver = await scripted('process.stderr.write("no such kernel\\n", () => process.exit(3));');
  await expect(driver.measure()).rejects.toThrow("x ended with exit code 3\na library greets\nno such kernel");
  await expect(driver.measure()).rejects.toThrow("x ended with exit code 3");
  await driver.stop();
});

test("a driver that cannot start is reported", async () => {
  await expect(Driver.start("y", { command: "/nonexistent/driver", args: [] })).rejects.toThrow("y ended before it began");
  await expect(scripted("", '{"error":"no such model"}')).rejects.toThrow("x: no such model");
});

test("replies are checked", () => {
  expect(parseReply('{"tokens":1,"seconds":0}')).toBeUndefined();
  expect(parseReply('{"tokens":"1","seconds":1}')).toBeUndefined();
  expect(parseReply('{"tokens":16,"seconds":0.25}')).toEqual({ tokens: 16, seconds: 0.25 });
  expect(parseReply('{"ready":true}')).toEqual({ ready: true, note: "" });
  expect(parseReply("{}")).toBeUndefined();
  expect(parseReply("tokens")).toBeUndefined();
  expect(setupLine(setup)).toBe("setup kind=decode streams=8 context=128 adapters=2 tokens=16");
});
