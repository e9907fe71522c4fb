import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { rmSync } from "node:fs";
import { Command } from "commander";
import { randomModel } from "../peer/model/random-model.js";
import { shapes } from "../peer/shapes.js";
import { repository } from "../repository.js";
import { closed, open } from "./load.js";
import type { Served } from "./load.js";
import { adapterName, Serving, writeAdapters } from "./serving.js";
import { ratioOf, summary, table } from "./summary.js";
import type { Row } from "./summary.js";

interface Options {
  readonly fit: string;
  readonly rate: string;
  readonly clients: readonly string[];
  readonly multiples: readonly string[];
  readonly seconds: string;
  readonly rounds: string;
  readonly threads: string;
  readonly turn?: string;
  readonly json?: boolean;
}

await new Command("bench:cliff")
  .description(
    "Uses one, two and four times as many adapters as fit on a worker's device, and measures the time to the first token:\n" +
      "135M shape, random weights, rank 16 on all seven projections, prompts of 64 tokens and outputs of 32.",
  )
  .option("--fit <n>", "adapters that fit on the device", "8")
  .option("--rate <n>", "requests a second that come whether others are done or not; 0: without that load", "3")
  .option("--clients <n...>", "clients at once, each with another request right after the last", ["4", "16"])
  .option("--multiples <n...>", "adapters in use, as multiples of those that fit", ["1", "2", "4"])
  .option("--seconds <s>", "length of each load in a round", "12")
  .option("--rounds <n>", "how often all loads have their turn", "2")
  .option("--threads <n>", "threads of the worker's engine", "2")
  .option("--turn <s>", "how long an adapter in use stays when others want its room; 0: to its end (default: the worker's)")
  .option("--json", "print one JSON object a line instead of the table")
  .action(main)
  .parseAsync();

async function main(options: Options): Promise<void> {
  const positive = (name: string, value: string): number => {
    if (!(Number(value) > 0)) throw new RangeError(`--${name} must be above 0, not ${value}`);
    return Number(value);
  };
  const [fit, seconds, rounds, threads] = (["fit", "seconds", "rounds", "threads"] as const).map((name) => positive(name, options[name])) as [number, number, number, number];
  const rate = Number(options.rate);
  if (!(rate >= 0)) throw new RangeError(`--rate must be 0 or more, not ${options.rate}`);
  const clients = options.clients.map((value) => positive("clients", value));
  const multiples = options.multiples.map((value) => positive("multiples", value));
  const note = (line: string): void => void process.stderr.write(`${line}\n`);
  const model = await randomModel(shapes["135m"], join(repository, ".cache/bench"), note);
  const folder = await mkdtemp(join(tmpdir(), "polygraft-cliff-"));
  process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(130));
  const most = fit * Math.max(...multiples);
  note(`writing ${most} adapters`);
  await writeAdapters(folder, model, most);

  await using serving = await Serving.start(model, folder, fit, threads, options.turn === undefined ? [] : ["--adapter-turn-seconds", options.turn]);
  const { client } = serving;
  // Each is read once before: what is measured is the way from host memory to the device.
  for (let index = 0; index < most; index++) await client.adapters.load(adapterName(index));
  const loads: { readonly name: string; run(adapters: number, seconds: number, seed: number): Promise<Served[]> }[] = [];
  const common = { promptTokens: 64, outputTokens: 32, vocabulary: model.shape.vocabulary };
  if (rate > 0) loads.push({ name: `${rate} requests/s`, run: (adapters, time, seed) => open(client, { ...common, adapters, seconds: time, seed }, rate) });
  for (const count of clients) {
    loads.push({ name: `${count} at once`, run: (adapters, time, seed) => closed(client, { ...common, adapters, seconds: time, seed }, count) });
  }
  const served = new Map<string, Served[]>();
  for (let round = 0; round < rounds; round++) {
    for (const load of loads) {
      for (const multiple of multiples) {
        note(`round ${round + 1} of ${rounds}: ${load.name}, ${multiple}×`);
        await load.run(fit * multiple, 1, 1000 + round); // what is on the device now is of this load
        const key = `${load.name}/${multiple}`;
        served.set(key, [...(served.get(key) ?? []), ...(await load.run(fit * multiple, seconds, round))]);
      }
    }
  }
  const rows: Row[] = loads.flatMap(({ name }) => multiples.map((multiple) => summary(name, multiple, served.get(`${name}/${multiple}`) ?? [])));
  if (options.json === true) for (const row of rows) process.stdout.write(`${JSON.stringify({ ...row, ratio: ratioOf(row, rows) })}\n`);
  else process.stdout.write(table(rows));
  await rm(folder, { recursive: true, force: true });
}
