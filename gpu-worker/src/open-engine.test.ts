import { expect, test } from "vitest";

import type { EngineInfo } from "./engine/engine.js";
import { jsonLog } from "./log.js";
import { tellOpened } from "./open-engine.js";

const info: EngineInfo = {
  architecture: "llama",
  digest: "sha256:00",
  device: "cpu/avx512vnni",
  weights: "w4-g32",
  vocabularySize: 1,
  hiddenSize: 1,
  layers: 1,
  contextLength: 1,
  kvBlocks: 1,
  kvBlockTokens: 64,
  weightBytes: 1,
  kvBytes: 1,
  adapterBytes: 1,
  hostAdapterBytes: 0,
  scratchBytes: 1,
  processBytes: 0,
  maxSequences: 1,
  maxStepTokens: 1,
  maxQueue: 1,
  eosTokenIds: [],
};

/** Level, message and device of what the log is told. */
function told(opened: EngineInfo, memoryBytes?: number): unknown[] {
  const lines: string[] = [];
  tellOpened(jsonLog((line) => lines.push(line)), opened, memoryBytes);
  return lines.map((line) => {
    const { level, msg, device } = JSON.parse(line) as Record<string, unknown>;
    return [level, msg, device];
  });
}

const opened = ["info", "the model is open", "cpu/avx512vnni"];

test("an engine that has nothing to warn of does not warn", () => {
  expect(told(info)).toEqual([opened]);
  expect(told(info, 1)).toEqual([opened, ["info", "the memory plan", undefined]]);
});

test("the log is warned of kernels that are not used", () => {
  const warning = "avx512amx kernels are not used on this CPU, avx512vnni ones are: their self-check failed: W4";
  expect(told({ ...info, warning })).toEqual([opened, ["warn", warning, "cpu/avx512vnni"]]);
});
