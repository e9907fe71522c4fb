import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test, vi } from "vitest";
import { runCli, startCli } from "../support/run-cli.js";
import { temporaryFolder } from "../support/temporary-folder.js";
import { writeTinyGguf } from "../support/tiny-gguf.js";
import { writeTinyModel } from "../support/tiny-model.js";
import { writeTinyPacked, type PackedFormat } from "../support/tiny-packed.js";

// Each command starts processes; a busy machine takes its time over that.
vi.setConfig({ testTimeout: 300_000 });

const document = async (name: string): Promise<string> => readFile(fileURLToPath(new URL(`../../docs/${name}`, import.meta.url)), "utf8");

/** The polygraft commands of a document's shell blocks, or of a help text. */
function commandsOf(text: string): string[][] {
  const blocks = [...text.matchAll(/^```sh\n(.*?)^```/gms)].map(([, block = ""]) => block);
  const lines = (blocks.length > 0 ? blocks.join("") : text).split("\n");
  return lines.flatMap((line) => {
    const [, words] = /^\s*polygraft (.+)$/.exec(line) ?? [];
    return words === undefined ? [] : [words.trim().split(/\s+/)];
  });
}

/** All that the examples name. */
async function writeFiles(folder: string): Promise<void> {
  await writeTinyModel(join(folder, "llama"));
  await writeTinyGguf(join(folder, "llama.Q8_0.gguf"), "Q8_0");
  for (const format of ["gptq", "gptq-act-order", "awq", "nf4"] satisfies PackedFormat[]) {
    // oxlint-disable-next-line no-await-in-loop -- small files
    await writeTinyPacked(join(folder, `llama-${format}`), format);
  }
  const words = Array.from({ length: 400 }, (_, i) => `word${(i * i) % 97} is here`).join(" ");
  await writeFile(join(folder, "texts.jsonl"), JSON.stringify(words));
}

/** Runs `up` as it is written, but on a free port, and has it say one token. */
async function oneToken([, ...args]: readonly string[], folder: string): Promise<void> {
  const up = startCli(["up", "--listen", "127.0.0.1:0", ...args], { XDG_CACHE_HOME: join(folder, "cache") }, folder);
  try {
    const [, router = ""] = await up.seen(/router on (\S+),/);
    const { code, stdout, stderr } = await runCli(["generate", "--router", router, "--max-tokens", "1", "--json", "Hello"]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(JSON.parse(stdout)).toMatchObject({ usage: { outputTokens: 1 } });
  } finally {
    up.process.kill("SIGINT");
    await up.result;
  }
}

test.for([
  ["docs/formats.md", 8, async () => document("formats.md")],
  ["docs/quantization.md", 5, async () => document("quantization.md")],
  ["quantize --help", 4, async () => (await runCli(["quantize", "--help"])).stdout],
] as const)("each command of %s does what it says", async ([, count, text]) => {
  const commands = commandsOf(await text());
  expect(commands.length).toBeGreaterThanOrEqual(count);
  await using folder = await temporaryFolder();
  await writeFiles(folder.path);
  for (const command of commands) {
    if (command[0] === "up") {
      // oxlint-disable-next-line no-await-in-loop -- later commands use what earlier ones made
      await oneToken(command, folder.path);
      continue;
    }
    // oxlint-disable-next-line no-await-in-loop -- likewise
    const result = await runCli(command, "", {}, folder.path);
    expect(result, command.join(" ")).toMatchObject({ code: 0 });
  }
});
