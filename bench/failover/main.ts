import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { Command } from "commander";
import { repository } from "../repository.js";
import { disturbances, keepDisturbing } from "./disturb.js";
import type { DisturbanceName } from "./disturb.js";
import { WiredFleet } from "./fleet.js";
import { compare, requestOf, runStreams } from "./streams.js";

interface Options {
  readonly streams: string;
  readonly atOnce: string;
  readonly tokens: string;
  readonly every: string;
  readonly modes: readonly string[];
  readonly json?: boolean;
}

// Processes that were started end with this one.
process.on("SIGINT", () => process.exit(130));
process.on("SIGTERM", () => process.exit(143));

await new Command("bench:failover")
  .description(
    "Runs streams over three worker processes, undisturbed at first, then while one worker after another is killed, hangs or\n" +
      "vanishes, and compares every token, log-probability and text. Exits with 1 if anything differs.",
  )
  .option("--streams <n>", "streams of a run", "1000")
  .option("--at-once <n>", "streams at a time", "64")
  .option("--tokens <n>", "output tokens of a stream", "160")
  .option("--every <seconds>", "time between the recovery from one disturbance and the next one", "2")
  .option("--modes <names...>", `what happens: ${Object.keys(disturbances).join(", ")}`, Object.keys(disturbances))
  .option("--json", "print one JSON object a line instead of the table")
  .action(main)
  .parseAsync();

async function main(options: Options): Promise<void> {
  const [count, atOnce, tokens, pause] = [options.streams, options.atOnce, options.tokens, options.every].map(Number) as [number, number, number, number];
  const modes = options.modes.filter((mode): mode is DisturbanceName => mode in disturbances);
  if (modes.length !== options.modes.length || ![count, atOnce, tokens, pause].every((value) => value > 0)) {
    throw new RangeError("numbers must be above 0, and --modes of " + Object.keys(disturbances).join(", "));
  }
  const models = join(repository, "models");
  const adapters = (await readdir(join(models, "adapters"))).sort();
  await using fleet = await WiredFleet.start({
    model: join(models, "base"),
    adapters: join(models, "adapters"),
    workers: 3,
    routerArguments: ["--heartbeat-seconds", "0.5"],
    workerArguments: ["--threads", "1"],
  });
  const requests = (number: number) => requestOf(number, adapters, tokens);
  const progress = (mode: string) => (ended: number) => {
    if (ended % 50 === 0) process.stderr.write(`${mode}: ${ended} of ${count} streams\n`);
  };
  const undisturbed = await runStreams(fleet.address, { count, atOnce, requests, onEnd: progress("undisturbed") });
  let failed = false;
  if (options.json !== true) process.stdout.write("mode    disturbances  streams  moved  identical  different  failed  tokens lost  tokens doubled  seconds\n");
  for (const mode of modes) {
    const stop = new AbortController();
    const begin = performance.now();
    const movedBefore = fleet.moved;
    const disturbing = keepDisturbing(fleet, mode, pause * 1000, stop.signal);
    const results = await runStreams(fleet.address, { count, atOnce, requests, onEnd: progress(mode) });
    const seconds = (performance.now() - begin) / 1000;
    stop.abort();
    const times = await disturbing;
    const compared = compare(undisturbed, results);
    const row = { mode, disturbances: times, streams: count, moved: fleet.moved - movedBefore, ...compared, seconds };
    failed ||= compared.identical !== count;
    if (options.json === true) process.stdout.write(`${JSON.stringify(row)}\n`);
    else process.stdout.write(format(row));
    for (const message of compared.messages) process.stderr.write(`failed: ${message}\n`);
  }
  if (failed) process.exitCode = 1;
}

function format(row: Record<string, unknown>): string {
  const widths = { disturbances: 12, streams: 7, moved: 5, identical: 9, different: 9, failed: 6, tokensLost: 11, tokensDoubled: 14 };
  const cells = Object.entries(widths).map(([name, width]) => String(row[name]).padStart(width));
  return `${String(row["mode"]).padEnd(6)}  ${cells.join("  ")}  ${Number(row["seconds"]).toFixed(0).padStart(7)}\n`;
}
