import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { temporaryFolder } from "../../../test/support/temporary-folder.js";
import { writeTinyAdapter, writeTinyModel } from "../../../test/support/tiny-model.js";
import {
  loadAddon,
  type NativeAdapter,
  type NativeAdapterInfo,
  type NativeAddon,
  type NativeEngine,
  type NativeModelInfo,
} from "./addon.js";

// Every member of the mirror, complete by its type; the tests hold the addon to it.
const addonMembers: Record<keyof NativeAddon, true> = {
  abiVersion: true,
  open: true,
  quantize: true,
  NativeEngine: true,
  NativeAdapter: true,
};
const engineMembers: Record<keyof NativeEngine, true> = {
  info: true,
  onReport: true,
  openAdapter: true,
  attachAdapter: true,
  detachAdapter: true,
  aliasAdapter: true,
  replaceAdapter: true,
  parkAdapter: true,
  resumeAdapter: true,
  submit: true,
  cancel: true,
  load: true,
  close: true,
};
const adapterMembers: Record<keyof NativeAdapter, true> = { info: true, close: true };
const modelFields: Record<keyof NativeModelInfo, true> = {
  architecture: true,
  digest: true,
  device: true,
  weights: true,
  vocabularySize: true,
  contextLength: true,
  hiddenSize: true,
  layers: true,
  kvBlocks: true,
  kvBlockTokens: true,
  weightBytes: true,
  kvBytes: true,
  adapterBytes: true,
  hostAdapterBytes: true,
  scratchBytes: true,
  processBytes: true,
  maxSequences: true,
  maxStepTokens: true,
  maxQueue: true,
  eosTokenIds: true,
  bosTokenId: true,
  warning: true,
};
const adapterFields: Record<keyof NativeAdapterInfo, true> = {
  rank: true,
  moduleCount: true,
  targetMask: true,
  hostBytes: true,
  deviceBytes: true,
  baseModel: true,
};

const keys = (record: object): string[] => Object.keys(record).toSorted();
const methods = (prototype: object): string[] =>
  Object.getOwnPropertyNames(prototype)
    .filter((name) => name !== "constructor")
    .toSorted();

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let model: string;
let adapter: string;

beforeAll(async () => {
  folder = await temporaryFolder();
  model = `${folder.path}/model`;
  adapter = `${folder.path}/adapter`;
  await writeTinyModel(model);
  await writeTinyAdapter(adapter);
});
afterAll(() => folder[Symbol.asyncDispose]());

test("the mirror names what the addon has", async () => {
  const addon = loadAddon();
  expect(keys(addon)).toEqual(keys(addonMembers));
  expect(methods(addon.NativeEngine.prototype)).toEqual(keys(engineMembers));
  expect(methods(addon.NativeAdapter.prototype)).toEqual(keys(adapterMembers));

  const engine = await addon.open({ modelDir: model, threads: 1 });
  expect(keys(engine.info())).toEqual(keys(modelFields));
  expect(keys((await engine.openAdapter(adapter)).info())).toEqual(keys(adapterFields));
  const layout = engine.onReport(() => {});
  expect(keys(layout)).toEqual(["alternativesOffset", "buffers", "eventsOffset"]);
  expect(layout.buffers.every((buffer) => buffer.byteLength > layout.alternativesOffset)).toBe(true);
  await engine.close();
});

test("engines and adapters cannot be made by hand, and adapters of other classes are refused", async () => {
  const addon = loadAddon();
  expect(() => Reflect.construct(addon.NativeEngine as unknown as () => void, [])).toThrow("made by open");
  expect(() => Reflect.construct(addon.NativeAdapter as unknown as () => void, [])).toThrow("opened by an engine");
  const engine = await addon.open({ modelDir: model, threads: 1 });
  expect(() => engine.attachAdapter({ info: () => ({}), close: () => {} } as unknown as NativeAdapter)).toThrow(
    "takes an open adapter",
  );
  const closed = await engine.openAdapter(adapter);
  closed.close();
  expect(() => engine.attachAdapter(closed)).toThrow("takes an open adapter");
  await engine.close();
});

// The life of a process: each script runs in one of its own, on the addon alone.
describe("a process with an engine", () => {
  const addonPath = fileURLToPath(new URL("../../native/build/polygraft.node", import.meta.url));
  const prelude = `
    const addon = require(${JSON.stringify(addonPath)});
    const request = { prompt: Uint32Array.of(5, 6, 7), maxTokens: 300, ignoreEos: true };
    const open = () => addon.open({ modelDir: process.env.MODEL, threads: 1 });`;
  const run = async (script: string): Promise<string> => {
    const { stdout } = await promisify(execFile)(process.execPath, ["-e", `${prelude}\n${script}`], {
      env: { ...process.env, MODEL: model },
    });
    return stdout.trim();
  };

  test("ends by itself when nothing runs, and not before a sequence has ended", async () => {
    const script = `open().then((engine) => {
      let tokens = 0;
      const { buffers, eventsOffset } = engine.onReport((buffer, events) => {
        const words = new Uint32Array(buffers[buffer], eventsOffset);
        for (let i = 0; i < events; i++) {
          if (words[i * 8 + 2] === 2) tokens++;
          if (words[i * 8 + 2] === 3) console.log(tokens);
        }
      });
      engine.submit(1, request);
    });`;
    expect(await run(script)).toBe("300");
  });

  test("can exit in mid-stream", async () => {
    const script = `open().then((engine) => {
      engine.onReport(() => { console.log("first"); process.exit(0); });
      for (let id = 1; id <= 20; id++) engine.submit(id, request);
    });`;
    expect(await run(script)).toBe("first");
  });

  test("can exit while a model is being opened", async () => {
    expect(await run(`open(); console.log("opening"); process.exit(0);`)).toBe("opening");
  });

  test("can end worker threads in mid-stream, again and again", async () => {
    const script = `
      const { Worker } = require("node:worker_threads");
      const body = ${JSON.stringify(prelude)} + \`
        const { parentPort } = require("node:worker_threads");
        open().then((engine) => {
          let told = false;
          engine.onReport(() => { if (!told) parentPort.postMessage("first"); told = true; });
          for (let id = 1; id <= 20; id++) engine.submit(id, request);
        });\`;
      (async () => {
        for (let i = 0; i < 3; i++) {
          const worker = new Worker(body, { eval: true });
          await new Promise((resolve, reject) => worker.once("message", resolve).once("error", reject));
          await worker.terminate();
        }
        console.log("done");
      })();`;
    expect(await run(script)).toBe("done");
  });

  test("survives engines that are dropped without close", async () => {
    const script = `(async () => {
      for (let i = 0; i < 3; i++) {
        let engine = await open();
        engine.onReport(() => {});
        engine.submit(1, request);
        engine = undefined;
        for (let j = 0; j < 5; j++) { global.gc(); await new Promise(setImmediate); }
      }
      console.log("done");
    })();`;
    expect(await run(`require("node:v8").setFlagsFromString("--expose-gc"); global.gc = require("node:vm").runInNewContext("gc");${script}`)).toBe("done");
  });
});
