import { execFile } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { LocalFleet } from "polygraft";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { runCli } from "../support/run-cli.js";
import { writeTinyFiles } from "../support/tiny-files.js";
import type { TinyFiles } from "../support/tiny-files.js";

// Each test starts several processes; a busy machine takes its time over that.
vi.setConfig({ testTimeout: 240_000 });

const run = promisify(execFile);

let files: TinyFiles;
let fleet: LocalFleet;

beforeAll(async () => {
  files = await writeTinyFiles();
  fleet = await LocalFleet.start({ model: files.model, adapters: files.adapters });
});

afterAll(async () => {
  await fleet?.stop();
  await files?.remove();
});

/** Lines of JSON. */
function parseLines(text: string): Record<string, unknown>[] {
  return text.trimEnd().split("\n").map((line) => JSON.parse(line) as Record<string, unknown>);
}

describe("generate", () => {
  test("streams what --json says at once", async () => {
    const args = ["generate", "--router", fleet.address, "--adapter", "a1-r8", "--max-tokens", "12", "Hello there"];
    const [plain, json] = await Promise.all([runCli(args), runCli([...args, "--json"])]);
    expect(plain.code).toBe(0);
    const result = parseLines(json.stdout)[0]!;
    expect(plain.stdout.replace(/\n$/, "")).toBe(String(result["text"]).replace(/\n$/, ""));
    expect(result).toMatchObject({
      worker: "worker-1",
      model: "tiny",
      adapter: { id: "a1-r8", digest: expect.stringMatching(/^sha256:[0-9a-f]{64}$/) },
    });
  });

  test("treats a prompt as a conversation with --chat", async () => {
    const common = ["generate", "--router", fleet.address, "--json", "--max-tokens", "1"];
    const [plain, chat] = await Promise.all([runCli([...common, "hi"]), runCli([...common, "--chat", "hi"])]);
    const tokens = ({ stdout }: { stdout: string }): number => (parseLines(stdout)[0]!["usage"] as { promptTokens: number }).promptTokens;
    expect(tokens(chat)).toBeGreaterThan(tokens(plain));
  });

  test("says which adapter is unknown, and how to see those that are not", async () => {
    const { code, stderr } = await runCli(["generate", "--router", fleet.address, "--adapter", "nobody", "hi"]);
    expect(code).toBe(3);
    expect(stderr).toContain("nobody");
    expect(stderr).toContain("polygraft adapters");
  });

  test("says which field is out of which range", async () => {
    const { code, stderr } = await runCli(["generate", "--router", fleet.address, "--top-p", "0", "hi"]);
    expect(code).toBe(3);
    expect(stderr).toContain("sampling.top_p");
  });
});

describe("adapters", () => {
  test("are loaded, in place too, and unloaded", async () => {
    const load = await runCli(["adapters", "load", "a2-r16", "--router", fleet.address, "--in-place", "--pin"]);
    expect(load).toMatchObject({ code: 0, stderr: "" });
    expect(load.stdout).toMatch(/a2-r16 .*worker-1:device \(pinned\)/);
    const unload = await runCli(["adapters", "unload", "a2-r16", "--router", fleet.address]);
    expect(unload.stdout).toMatch(/a2-r16 .*worker-1:disk/);
    const wrong = await runCli(["adapters", "load", "a2-r16@v7", "--router", fleet.address, "--in-place"]);
    expect(wrong.code).not.toBe(0);
    expect(wrong.stderr).toMatch(/adapter\.revision/);
  });

  test("lists what is served, as a table and as JSON", async () => {
    const [table, json] = await Promise.all([
      runCli(["adapters", "--router", fleet.address]),
      runCli(["adapters", "--router", fleet.address, "--json"]),
    ]);
    const listed = parseLines(json.stdout).map(({ identity }) => (identity as { id: string }).id);
    expect(listed).toEqual([...files.names].sort());
    for (const name of files.names) expect(table.stdout).toContain(name);
  });

  test("lists those of a prefix", async () => {
    const { stdout } = await runCli(["adapters", "--router", fleet.address, "--json", "a3"]);
    expect(parseLines(stdout)).toHaveLength(1);
  });
});

describe("score", () => {
  test("adds up the log-probabilities of a text, in windows when it is long", async () => {
    const file = join(files.model, "text.txt");
    await writeFile(file, "the quick brown fox jumps over the lazy dog. ".repeat(60));
    const base = await runCli(["score", "--router", fleet.address, "--json", file]);
    expect(base.stderr).toBe("");
    const score = JSON.parse(base.stdout) as {
      tokens: { id: number; logprob: number | null }[];
      scoredTokens: number;
      nll: number;
      perplexity: number;
      windows: number;
    };
    expect(score.windows).toBeGreaterThan(1);
    expect(score.scoredTokens).toBe(score.tokens.length - score.windows);
    const sum = score.tokens.reduce((total, { logprob }) => total - (logprob ?? 0), 0);
    expect(score.nll).toBeCloseTo(sum, 6);
    expect(score.perplexity).toBeCloseTo(Math.exp(sum / score.scoredTokens), 6);

    const adapted = await runCli(["score", "--router", fleet.address, "--adapter", "a3-r32", "--json", file]);
    expect((JSON.parse(adapted.stdout) as { nll: number }).nll).not.toBe(score.nll);
  });

  test("starts a server of its own when given a model", async () => {
    const args = ["score", "--model", files.model, "--adapters", files.adapters, "--adapter", "a3-r32", "--json", "-"];
    const own = await runCli(args, "hello world");
    const shared = await runCli(["score", "--router", fleet.address, "--adapter", "a3-r32", "--json", "-"], "hello world");
    expect(own.code).toBe(0);
    expect(own.stdout).toBe(shared.stdout);
  });
});

describe("bench", () => {
  test("prints one object a case", async () => {
    const sizes = ["--streams", "1,3", "--use-adapters", "0,2,99", "--prompt-tokens", "5", "--output-tokens", "4", "--repeat", "2"];
    const { code, stdout, stderr } = await runCli(["bench", "--router", fleet.address, "--json", ...sizes]);
    expect(code).toBe(0);
    const results = parseLines(stdout);
    expect(results.map(({ streams, adapters }) => [streams, adapters])).toEqual([[1, 0], [3, 0], [1, 2], [3, 2]]);
    for (const { tokensPerSecond } of results) expect(tokensPerSecond).toBeGreaterThan(0);
    expect(stderr).toContain("99 adapters are asked for, 8 are served");
  });
});

describe("the TypeScript example", () => {
  test("compiles and runs as it stands in the README", async () => {
    const example = fileURLToPath(new URL("../../examples/typescript/", import.meta.url));
    const root = fileURLToPath(new URL("../../", import.meta.url));
    const source = await readFile(join(example, "generate.ts"), "utf8");
    expect(await readFile(join(root, "README.md"), "utf8")).toContain("```ts\n" + source + "```");
    await run(process.execPath, [join(root, "node_modules/typescript/bin/tsc"), "-p", example]);
    const env = { ...process.env, POLYGRAFT_ADDRESS: fleet.address };
    const { stdout, stderr } = await run(process.execPath, [join(example, "dist/generate.js"), "Hello", "a2-r16"], { env });
    expect(stdout.length).toBeGreaterThan(0);
    expect(stderr).toMatch(/^worker worker-1, adapter was on (disk|host|device)\n/);
    expect(stderr).toMatch(/\d+ tokens, (stop-token|max-tokens)\n$/);
  });
});

describe("demo", () => {
  test("shows every adapter beside the base, and leaves nothing running", async () => {
    const prompts = join(files.model, "prompts.json");
    const entries = files.names.map((adapter) => ({ adapter, prompts: ["Hello world"], maxTokens: 6 }));
    await writeFile(prompts, JSON.stringify([...entries, { adapter: "missing", prompts: ["x"] }]));
    const { code, stdout, stderr } = await runCli([
      "demo", "--model", files.model, "--adapters", files.adapters, "--prompts", prompts,
    ]);
    expect(stderr).toContain("starting a router and 2 workers");
    expect(stderr).toContain("left out: missing: it is not in the folder of adapters");
    expect(code).toBe(0);
    for (const name of [...files.names, "(base)"]) expect(stdout).toContain(`\n${name} `);
    expect(stdout).toContain("what the base says to that");
    expect(stdout).toMatch(/9 requests, 8 with adapters, served by [12] workers/);
  });
});
