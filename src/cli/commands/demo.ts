import { stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { Polygraft } from "@polygraft/client";
import type { GenerationResult } from "@polygraft/client";
import { Command } from "commander";
import { integer } from "../arguments.js";
import { readPrompts } from "../demo/prompts.js";
import type { DemoPrompt } from "../demo/prompts.js";
import { runDemo } from "../demo/run-demo.js";
import type { DemoRow } from "../demo/run-demo.js";
import { UsageError } from "../exit.js";
import { LocalFleet } from "../fleet/local-fleet.js";
import { interruptible } from "../interrupt.js";
import { prefixed } from "../output/prefixed.js";
import { formatTable } from "../output/table.js";
import type { Column } from "../output/table.js";

/** The models folder of a checkout. An installed package has none beside it; then --model is needed. */
const bundled = fileURLToPath(new URL("../../../../models/", import.meta.url));

/** Requests with adapters that the demo makes at least, if the prompts suffice. */
const leastRequests = 8;

/** Width of the result where there is no terminal. */
const plainWidth = 180;

interface DemoOptions {
  readonly model: string;
  readonly adapters: string;
  readonly prompts: string;
  readonly workers: number;
}

/** `polygraft demo`: the main job, seen at once. */
export function demoCommand(): Command {
  return new Command("demo")
    .summary("show many adapters at once on the bundled model")
    .description(
      "Starts a router and two workers on free ports, streams one request for each adapter and one for the base at the\n" +
        "same time, prints what came of it beside the base's answers, and stops everything.",
    )
    .option("-m, --model <dir>", "folder of the base model", join(bundled, "base"))
    .option("-a, --adapters <dir>", "folder of its adapters", join(bundled, "adapters"))
    .option("-p, --prompts <file>", "what to ask them", join(bundled, "demo-prompts.json"))
    .option("-w, --workers <n>", "worker processes", integer(1, 64), 2)
    .addHelpText(
      "after",
      `
Examples:
  polygraft demo
  polygraft demo --model ./llama --adapters ./my-adapters --prompts ./my-prompts.json

A prompts file is a list of { "adapter": name, "prompts": [text or messages, ...], "maxTokens": number }.`,
    )
    .action(demo);
}

async function demo(options: DemoOptions): Promise<void> {
  for (const path of [options.model, options.adapters, options.prompts]) await mustExist(path);
  const prompts = await readPrompts(options.prompts, leastRequests);
  process.stderr.write(`starting a router and ${options.workers} workers on free ports\n`);
  const onLog = (source: string, text: string): void => void process.stderr.write(prefixed(source, text));
  await interruptible(async (signal) => {
    await using fleet = await LocalFleet.start({ ...options, workerPrefix: "demo-", onLog, signal });
    await using client = new Polygraft({ address: fleet.address });
    const servable = await onlyServed(client, prompts, signal);
    const rows = await Promise.race([runDemo(client, servable, signal), fleet.failed]);
    process.stdout.write(`\n${formatTable(columns(process.stdout.columns ?? plainWidth), rows)}\n`);
    const workers = new Set(rows.map(({ result }) => result.worker)).size;
    process.stdout.write(`${rows.length} requests, ${servable.length} with adapters, served by ${workers} workers on one base model\n`);
  });
}

/** The prompts whose adapters the fleet has, and says which it has not. */
async function onlyServed(client: Polygraft, prompts: readonly DemoPrompt[], signal: AbortSignal): Promise<DemoPrompt[]> {
  const errors = new Map<string, string | undefined>();
  for await (const { identity, error } of client.adapters.list({ signal })) errors.set(identity.id, error);
  return prompts.filter(({ adapter }) => {
    const problem = errors.has(adapter) ? errors.get(adapter) : "it is not in the folder of adapters";
    if (problem !== undefined) process.stderr.write(`left out: ${adapter}: ${problem}\n`);
    return problem === undefined;
  });
}

async function mustExist(path: string): Promise<void> {
  const found = await stat(path).then(() => true, () => false);
  if (found) return;
  const where = path.startsWith(dirname(bundled)) ? " (the bundled model is part of the source tree, not of the npm package)" : "";
  throw new UsageError(`${path} does not exist${where}; name a model with --model, --adapters and --prompts`);
}

/** Columns of the result; texts share what the terminal leaves them. */
function columns(width: number): Column<DemoRow>[] {
  const narrow = width < 150;
  const maxWidth = Math.max(16, Math.floor((width - 62) / (narrow ? 2 : 3)));
  const prompt: Column<DemoRow> = { title: "prompt", cell: (row) => row.prompt, maxWidth };
  return [
    { title: "adapter", cell: ({ adapter }) => adapter ?? "(base)" },
    { title: "worker", cell: ({ result }) => result.worker },
    { title: "was on", cell: ({ result }) => result.tier ?? "-" },
    { title: "first token", cell: ({ result }) => `${result.timings.firstTokenMs.toFixed(0)} ms`, align: "right" },
    { title: "tokens/s", cell: ({ result }) => rate(result), align: "right" },
    ...(narrow ? [] : [prompt]),
    { title: "answer", cell: ({ result }) => result.text.trim(), maxWidth },
    { title: "what the base says to that", cell: ({ base }) => base.trim(), maxWidth },
  ];
}

/** Tokens over the time of the whole request, its wait for the adapter and its first token included. */
function rate({ usage, timings }: GenerationResult): string {
  return ((usage.outputTokens / timings.totalMs) * 1000).toFixed(0);
}
