import type { ModelInfo, Polygraft } from "@polygraft/client";
import { Command, Option } from "commander";
import { integer, integers } from "../arguments.js";
import { randomModel, randomShapes } from "../bench/random-model.js";
import { runCase } from "../bench/run-case.js";
import type { BenchCase, BenchRun } from "../bench/run-case.js";
import { median } from "../bench/statistics.js";
import { servedModel } from "../fleet/served-model.js";
import { addServerOptions, withServer } from "../fleet/with-server.js";
import type { ServerOptions } from "../fleet/with-server.js";
import { interruptible } from "../interrupt.js";
import { benchPlacementCommand } from "./bench-placement.js";
import { Stdout } from "../output/stdout.js";
import { formatTable } from "../output/table.js";
import type { Column } from "../output/table.js";

interface BenchOptions extends ServerOptions {
  readonly random?: string;
  readonly streams: readonly number[];
  readonly useAdapters: readonly number[];
  readonly promptTokens: number;
  readonly outputTokens: number;
  readonly repeat: number;
  readonly json?: boolean;
}

/** A measured case. */
interface BenchResult extends BenchRun {
  readonly model: string;
  readonly weights: string;
  readonly device: string;
  readonly workers: number;
  readonly streams: number;
  readonly adapters: number;
  readonly promptTokens: number;
  readonly outputTokens: number;
  /** Runs that the medians are of. */
  readonly repeat: number;
}

/** `polygraft bench`: how fast the whole path is. */
export function benchCommand(): Command {
  return addServerOptions(new Command("bench"))
    .summary("measure tokens per second")
    .description("Measures tokens per second through client, router and worker, for several numbers of streams and adapters.")
    .addOption(
      new Option("--random <shape>", "start a fleet on a random model of this shape with 8 random adapters of rank 16")
        .choices(Object.keys(randomShapes))
        .conflicts(["model", "router"]),
    )
    .option("--streams <list>", "requests at once", integers(1, 4096), [1, 8, 32])
    .option("--use-adapters <list>", "adapters that the requests use in turn; 0: the base", integers(0, 4096), [0, 1, 8])
    .option("--prompt-tokens <n>", "length of the prompts, random token ids", integer(1, 1_000_000), 32)
    .option("--output-tokens <n>", "tokens that each request generates", integer(2, 1_000_000), 64)
    .option("--direct", "stream straight from the workers instead of through the router")
    .option("--repeat <n>", "runs of each case; medians are printed", integer(1, 1000), 3)
    .option("--json", "print one JSON object a line")
    .addHelpText(
      "after",
      `
Examples:
  polygraft bench --model ./models/base --adapters ./models/adapters
  polygraft bench --random 135m --streams 1,8 --json
  polygraft bench --router 127.0.0.1:50051 --repeat 5
  polygraft bench placement --workers 64`,
    )
    .action(bench)
    .addCommand(benchPlacementCommand());
}

async function bench({ random, ...options }: BenchOptions): Promise<void> {
  const output = new Stdout();
  await interruptible(async (signal) => {
    const folders = random === undefined ? {} : await randomModel(random, (line) => void process.stderr.write(`${line}\n`));
    await withServer({ ...options, ...folders }, signal, async (client) => {
      const served = await servedModel(client, signal);
      if (served === undefined) throw new Error("bench needs a router: only a router tells which model it serves");
      const results: BenchResult[] = [];
      for await (const result of measure(client, served.model, served.workers, options, signal)) {
        if (options.json === true) await output.write(JSON.stringify(result) + "\n");
        else results.push(result);
      }
      if (options.json !== true) await output.write(formatTable(columns, results));
    });
  });
}

async function* measure(
  client: Polygraft,
  model: ModelInfo,
  workers: number,
  options: BenchOptions,
  signal: AbortSignal,
): AsyncGenerator<BenchResult, void> {
  const { promptTokens, outputTokens, repeat } = options;
  const known = await servableAdapters(client, Math.max(...options.useAdapters), signal);
  for (const count of options.useAdapters) {
    if (count > known.length) {
      process.stderr.write(`left out: ${count} adapters are asked for, ${known.length} are served\n`);
      continue;
    }
    const adapters = known.slice(0, count);
    // Loading an adapter is not what is measured.
    for (const adapter of adapters) await client.adapters.load(adapter, { signal });
    for (const streams of options.streams) {
      process.stderr.write(`measuring ${streams} stream(s), ${count} adapter(s)\n`);
      const setup: BenchCase = { streams, adapters, promptTokens, outputTokens, vocabularySize: model.vocabularySize };
      await runCase(client, { ...setup, outputTokens: 2 }, 0, signal);
      const runs: BenchRun[] = [];
      for (let run = 0; run < repeat; run++) runs.push(await runCase(client, setup, run, signal));
      yield {
        model: model.name,
        weights: model.weights,
        device: model.device,
        workers,
        streams,
        adapters: count,
        promptTokens,
        outputTokens,
        repeat,
        tokensPerSecond: middle(runs, "tokensPerSecond"),
        firstTokenMs: middle(runs, "firstTokenMs"),
        interTokenMs: middle(runs, "interTokenMs"),
      };
    }
  }
}

async function servableAdapters(client: Polygraft, most: number, signal: AbortSignal): Promise<string[]> {
  const names: string[] = [];
  for await (const { identity, error } of client.adapters.list({ signal })) {
    if (names.length === most) break;
    if (error === undefined) names.push(identity.id);
  }
  return names;
}

function middle(runs: readonly BenchRun[], key: keyof BenchRun): number {
  return Number(median(runs.map((run) => run[key])).toPrecision(4));
}

const columns: readonly Column<BenchResult>[] = [
  { title: "streams", cell: ({ streams }) => String(streams), align: "right" },
  { title: "adapters", cell: ({ adapters }) => String(adapters), align: "right" },
  { title: "tokens/s", cell: ({ tokensPerSecond }) => tokensPerSecond.toFixed(1), align: "right" },
  { title: "first token", cell: ({ firstTokenMs }) => `${firstTokenMs.toFixed(1)} ms`, align: "right" },
  { title: "between tokens", cell: ({ interTokenMs }) => `${interTokenMs.toFixed(2)} ms`, align: "right" },
  { title: "model", cell: ({ model, weights }) => `${model} ${weights}` },
  { title: "device", cell: ({ device, workers }) => `${device}, ${workers} worker(s)` },
];
