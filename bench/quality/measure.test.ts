import { readdir } from "node:fs/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { temporaryFolder } from "../../test/support/temporary-folder.js";
import { writeTinyAdapter, writeTinyModel } from "../../test/support/tiny-model.js";
import { measure, type Row } from "./measure.js";
import { schemes, variants } from "./schemes.js";
import { subject, subjectNames, type Subject } from "./subjects.js";

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let tiny: Subject;

beforeAll(async () => {
  folder = await temporaryFolder();
  const [model, adapter] = [`${folder.path}/model`, `${folder.path}/adapter`];
  await writeTinyModel(model);
  await writeTinyAdapter(adapter);
  const texts = ["one text of some words", "and another one, which is a little longer"];
  tiny = { name: "tiny", model, texts, adapter, adapterTexts: ["what an adapter is for"], openings: ["a", "the"] };
});
afterAll(() => folder[Symbol.asyncDispose]());

async function rows(names: readonly string[]): Promise<Row[]> {
  const chosen = variants(schemes.filter(({ name }) => names.includes(name)));
  const all: Row[] = [];
  for await (const row of measure(tiny, chosen, { cache: `${folder.path}/cache`, threads: 1, onProgress: () => {} })) all.push(row);
  return all;
}

test("the reference agrees with itself, quantized models nearly, and coarser ones less", async () => {
  const names = ["w4-g32 searched", "w4-g32 calibrated", "w4-g128 plain"];
  const [reference, ...measured] = await rows(names);
  expect(reference).toMatchObject({ perplexityChange: 0, sameBest: 1, meanAbsolute: 0, headBits: 32 });
  expect(reference?.slope).toBeCloseTo(1, 12);
  expect(measured.map(({ weights, headBits, activations }) => [weights, headBits, activations])).toEqual(
    names.flatMap((name) => [[name, 8, "int8"], [name, 8, "f32"], [name, 4, "int8"], [name, 4, "f32"]]),
  );
  for (const row of measured) {
    expect(row.tokens).toBe(reference?.tokens);
    expect(row.meanAbsolute).toBeGreaterThan(0);
    expect(row.meanAbsolute).toBeLessThan(1);
    expect(row.correlation).toBeGreaterThan(0.8);
  }
  const error = (weights: string): number => measured.find((row) => row.weights === weights)?.meanAbsolute ?? NaN;
  expect(error("w4-g32 searched")).toBeLessThan(error("w4-g128 plain"));

  // Texts to calibrate with are kept, quantized models are not; a second run says the same.
  const [kept] = await readdir(`${folder.path}/cache`);
  expect(await readdir(`${folder.path}/cache/${kept}`)).toEqual(["calibration.jsonl"]);
  expect(await rows(names)).toEqual([reference, ...measured]);
});

test("8 bits lose less than 4", async () => {
  const [, ...measured] = await rows(["w4-g32 searched", "w8-g32"]);
  const error = (weights: string): number =>
    measured.find((row) => row.weights === weights && row.headBits === 8 && row.activations === "f32")?.meanAbsolute ?? NaN;
  expect(error("w8-g32")).toBeGreaterThan(0);
  expect(error("w8-g32")).toBeLessThan(error("w4-g32 searched") / 4);
});

test("every text that the subjects name is there", async () => {
  for (const name of subjectNames) {
    const { texts, adapterTexts } = await subject(name, "elsewhere");
    expect(texts.length).toBeGreaterThan(5);
    expect(adapterTexts.length).toBeGreaterThan(5);
  }
});
