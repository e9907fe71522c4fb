import { copyFile, mkdir, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { runCli, startCli } from "../support/run-cli.js";
import { temporaryFolder } from "../support/temporary-folder.js";
import { writeTinyGguf } from "../support/tiny-gguf.js";
import { writeTinyModel } from "../support/tiny-model.js";

// Scoring starts processes; a busy machine takes its time over that.
vi.setConfig({ testTimeout: 120_000 });

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let model: string;
let texts: string;
const path = (name: string): string => join(folder.path, name);
const words = (count: number): string => Array.from({ length: count }, (_, i) => `word${(i * i) % 97} is here`).join(" ");

beforeAll(async () => {
  folder = await temporaryFolder();
  model = path("tiny");
  await writeTinyModel(model);
  await writeFile(join(model, "chat_template.jinja"), "{{ messages }}");
  await writeFile(join(model, "notes.bin"), "not needed to serve");
  texts = path("texts.jsonl");
  await writeFile(texts, [JSON.stringify(words(300)), "", JSON.stringify({ text: words(200) })].join("\n"));
});
afterAll(() => folder[Symbol.asyncDispose]());

async function score(of: string): Promise<number> {
  const { stdout, stderr } = await runCli(["score", "--model", of, "--json", "-"], "Hello there, how are you?", {
    XDG_CACHE_HOME: path("cache"),
  });
  if (stdout === "") throw new Error(stderr);
  return (JSON.parse(stdout) as { meanNll: number }).meanNll;
}

interface Errors {
  readonly projection: string;
  readonly plainWeights: number;
  readonly weights: number;
  readonly roundedOutputs: number;
  readonly outputs: number;
}
interface Report {
  readonly calibrationTokens: number;
  readonly bytes: number;
  readonly projections: readonly Errors[];
  readonly head?: Errors;
}

test("writes a folder that serves what the source serves", async () => {
  const { code, stdout, stderr } = await runCli(["quantize", model, "--output", path("plain")]);
  expect(code).toBe(0);
  // Phases that passed quickly may not be told.
  expect(stderr).toMatch(/^(?:quantize…\n)?(?:compare…\n)?$/);
  expect(stdout).toContain("q_proj");
  expect(stdout).toMatch(/weight error {2}\d\.\d+ % → \d\.\d+ % \(-\d+ %\)/);
  expect(stdout).toMatch(/wrote {9}.*plain: w4-g32, head in 8 bits, 0\.\d MB, \d\.\d\d bits a weight\n$/);
  // All that serving needs, and nothing else.
  expect((await readdir(path("plain"))).toSorted()).toEqual([
    "chat_template.jinja", "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json",
  ]);
  expect(await score(path("plain"))).toBe(await score(model));
});

test("makes of a GGUF file the folder that it makes of the folder it came from", async () => {
  const gguf = path("tiny.gguf");
  await writeTinyGguf(gguf);
  const args = ["--calibrate", texts, "--json"];
  const fromFile = await runCli(["quantize", gguf, "--output", path("of-file"), ...args]);
  expect(fromFile).toMatchObject({ code: 0, stderr: "" });
  await runCli(["quantize", model, "--output", path("of-folder"), ...args]);
  const weights = (name: string): Promise<Buffer> => readFile(join(path(name), "model.safetensors"));
  expect((await weights("of-file")).equals(await weights("of-folder"))).toBe(true);
  expect(await score(path("of-file"))).toBe(await score(path("of-folder")));
  await expect(readFile(join(path("of-file"), "chat_template.jinja"), "utf8")).resolves.toContain("messages");
});

test("calibrates, tells what outputs gained, and gives the same bytes again", async () => {
  const args = (name: string): string[] => [
    "quantize", model, "--output", path(name), "--group-size", "64", "--head-bits", "4", "--calibrate", texts, "--json",
  ];
  const first = await runCli(args("first"));
  const second = await runCli([...args("second"), "--threads", "1"]);
  expect(first).toMatchObject({ code: 0, stderr: "" });
  const report = JSON.parse(first.stdout) as Report;
  expect(report.calibrationTokens).toBeGreaterThan(1000);
  expect(report.projections.map(({ projection }) => projection)).toContain("down_proj");
  for (const { plainWeights, roundedOutputs, outputs } of report.projections) {
    expect(plainWeights).toBeGreaterThan(0);
    expect(outputs).toBeGreaterThan(0);
    expect(outputs).toBeLessThan(0.9 * roundedOutputs);
  }
  expect(report.head?.projection).toBe("head");
  expect(report.head?.outputs).toBeLessThan(0.9 * (report.head?.roundedOutputs ?? 0));
  const bytes = await readFile(join(path("first"), "model.safetensors"));
  expect(bytes.length).toBe(report.bytes);
  expect(bytes.equals(await readFile(join(path("second"), "model.safetensors")))).toBe(true);
  expect(JSON.parse(second.stdout)).toEqual({ ...report, output: path("second") });
  expect(await score(path("first"))).toBeCloseTo(await score(model), 0);
});

test("a table of calibration shows both errors, also for a model of a short context", async () => {
  await writeTinyModel(path("brief"), { shape: { context: 100 } });
  const { stdout } = await runCli(["quantize", path("brief"), "-o", path("nf4"), "--scheme", "nf4", "-c", texts, "--calibrate-tokens", "600"]);
  expect(stdout).toContain("outputs, written");
  expect(stdout).toMatch(/output error .* on 600 tokens/);
  expect(stdout).toContain("nf4-g32");
  expect(stdout).not.toContain("head     ");
});

test("a head in 4 bits has a line of its own", async () => {
  const { stdout } = await runCli(["quantize", model, "-o", path("head4"), "--head-bits", "4"]);
  expect(stdout).toMatch(/\nhead {10}\d\.\d{3} % → \d\.\d{3} % \(-\d+ %\) of its weights/);
  expect(stdout).toContain("head in 4 bits");
});

test("a model that was in 4 bits before loses nothing", async () => {
  await mkdir(path("gridded"));
  for (const name of await readdir(model)) await copyFile(join(model, name), join(path("gridded"), name));
  const weights = await readFile(join(model, "model.safetensors"));
  const header = 8 + Number(weights.readBigUInt64LE());
  for (let at = header; at < weights.length; at += 4) {
    const steps = Math.round(weights.readFloatLE(at) * 16);
    weights.writeFloatLE(Math.min(8, Math.max(-7, steps)) / 16, at);
  }
  await writeFile(join(path("gridded"), "model.safetensors"), weights);
  const { stdout } = await runCli(["quantize", path("gridded"), "-o", path("same")]);
  expect(stdout).toContain("weight error  none: the weights lie on this grid already");
  expect(((await stat(path("same"))).mode & 0o777).toString(8)).toBe((0o777 & ~process.umask()).toString(8));
});

test("says what is wrong and leaves nothing", async () => {
  await writeFile(path("short.txt"), "too short");
  await writeFile(path("broken.jsonl"), '"fine"\n{"txt": 1}\n');
  await mkdir(path("there"));
  const before = await readdir(folder.path);
  const refused = async (args: readonly string[], code: number, message: string | RegExp): Promise<void> => {
    const result = await runCli(["quantize", ...args]);
    expect(result.stderr.split("\n").find((line) => line.startsWith("polygraft: ")) ?? result.stderr).toMatch(message);
    expect(result.code).toBe(code);
  };
  const out = ["--output", path("never")];
  await refused([model], 2, /--output/);
  await refused([model, ...out, "--group-size", "48"], 2, /one of 32, 64, 128/);
  await refused([model, ...out, "--calibrate-tokens", "500"], 2, /needs --calibrate/);
  await refused([model, ...out, "--calibrate", path("short.txt")], 2, /needs at least 256/);
  await refused([model, ...out, "--calibrate", path("broken.jsonl")], 2, /line 2, is neither/);
  await refused([model, ...out, "--calibrate", path("none.txt")], 1, /cannot be read.*none\.txt/);
  await refused([model, "--output", path("there")], 2, /exists already/);
  await refused([path("nowhere"), ...out], 1, /config\.json/);
  await refused([path("plain"), ...out], 1, /quantized already/);
  expect(await readdir(folder.path)).toEqual(before);
});

test("Ctrl-C ends it and leaves nothing", async () => {
  await writeFile(path("long.txt"), words(40_000));
  const before = await readdir(folder.path);
  const cli = startCli(["quantize", model, "-o", path("stopped"), "-c", path("long.txt"), "--calibrate-tokens", "100000"]);
  cli.process.stderr.on("data", (text: string) => {
    if (text.includes("calibrate")) cli.process.kill("SIGINT");
  });
  expect((await cli.result).code).toBe(130);
  expect(await readdir(folder.path)).toEqual(before);
});
