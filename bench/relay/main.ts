import { spawnSync } from "node:child_process";
import { mkdir } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { resolve } from "node:path";
import { Command, InvalidArgumentError } from "commander";
import { markdownTable } from "../markdown-table.js";
import { measure } from "./measure.js";
import type { Measured, Shape } from "./measure.js";
import { maxTokens } from "./message.js";
import { haproxy } from "./relays/haproxy.js";
import { nginx } from "./relays/nginx.js";
import { polygraft } from "./relays/polygraft.js";
import { findProgram, relayCore } from "./relays/program.js";
import { direct } from "./relays/relay.js";
import type { Relay } from "./relays/relay.js";
import { sdkBare, sdkDirect, sdkRelay } from "./relays/sdk.js";

interface Options {
  readonly relays: readonly string[];
  readonly streams: readonly number[];
  readonly steps: readonly number[];
  readonly tokens: number;
  readonly seconds: number;
  readonly profile?: string;
  readonly json?: boolean;
}

interface Row extends Measured {
  readonly relay: string;
  readonly stepMillis: number;
  readonly streams: number;
  /** Beyond what there is without a relay, in microseconds. Undefined: there was no run without one. */
  readonly addedP50?: number;
  readonly addedP99?: number;
}

const relayNames = ["direct", "polygraft", "polygraft-2", "nginx", "haproxy", "sdk-bare", "sdk-direct", "sdk-relay"];

/** Runs with nothing in between; those after each are compared with it. */
const bases: ReadonlySet<Relay> = new Set([direct, sdkBare]);

new Command("bench:relay")
  .description(
    "Measures what polygraft's router costs a stream of tokens, beside no relay, nginx (grpc_pass) and HAProxy. A backend\n" +
      "sends one message of each stream at each step, in a DATA frame of its own, as a batching engine does; a client in the\n" +
      "same process takes the time of each. The last three go through the SDK: to a bare worker, in direct mode, through the router.\n" +
      "The relay has a core of its own, and so has the harness. Linux only.",
  )
  .option("--relays <list>", "what to measure", names, relayNames)
  .option("--streams <list>", "streams at once, 16 to a connection", numbers(1, 1024), [1, 16, 128])
  .option("--steps <list>", "milliseconds between steps; 0: as fast as the harness can", numbers(0, 1000), [1, 0])
  .option("--tokens <n>", "messages of a response", (text) => number(text, 1, maxTokens), 64)
  .option("--seconds <n>", "length of a measurement, after half as long a warm-up", (text) => number(text, 1, 3600), 4)
  .option("--profile <folder>", "writes CPU profiles of polygraft's router there")
  .option("--json", "print one JSON object a line")
  .addHelpText("after", "\nExamples:\n  npm run bench:relay\n  npm run bench:relay -- --streams 128 --steps 1 --relays direct,polygraft --json")
  .action(main)
  .parseAsync()
  .catch((error: Error) => {
    process.stderr.write(`${error.message}\n`);
    process.exit(1);
  });

async function main(options: Options): Promise<void> {
  // So that what is to be done at the exit is done: relays end, and their folders go.
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(130));
  takeOwnCore();
  const relays = await relaysOf(options);
  const rows: Row[] = [];
  for (const stepMillis of options.steps) {
    for (const streams of options.streams) {
      let base: Measured | undefined;
      for (const relay of relays) {
        const shape: Shape = {
          stepMillis,
          streams,
          connections: Math.ceil(streams / 16),
          tokens: options.tokens,
          warmUpSeconds: options.seconds / 2,
          seconds: options.seconds,
        };
        if (relay.fits?.(shape) === false) continue;
        process.stderr.write(`${relay.name}, ${streams} stream(s), ${paceName(stepMillis)}\n`);
        const measured = await measure(relay, shape);
        if (bases.has(relay)) base = measured;
        const added = base === undefined ? {} : { addedP50: measured.p50 - base.p50, addedP99: measured.p99 - base.p99 };
        const row = { relay: relay.name, stepMillis, streams, ...measured, ...added };
        if (options.json === true) process.stdout.write(`${JSON.stringify(row)}\n`);
        rows.push(row);
      }
    }
  }
  if (options.json !== true) process.stdout.write(table(rows));
  process.exit(0);
}

/** Leaves the relays' core to them. */
function takeOwnCore(): void {
  if (availableParallelism() < 2 || findProgram("taskset") === undefined) {
    process.stderr.write("needs two cores and taskset to measure well: relay and harness share what there is\n");
    return;
  }
  const own = `1-${availableParallelism() - 1}`;
  spawnSync("taskset", ["-a", "-p", "-c", own, String(process.pid)]);
  process.stderr.write(`relays run on core ${relayCore}, the harness on core ${own}\n`);
}

async function relaysOf({ relays, profile }: Options): Promise<readonly Relay[]> {
  const folder = profile === undefined ? undefined : resolve(profile);
  if (folder !== undefined) await mkdir(folder, { recursive: true });
  return [direct, polygraft(folder), polygraft(folder, 2), nginx, haproxy, sdkBare, sdkDirect, sdkRelay].filter((relay) => {
    if (!relays.includes(relay.name)) return false;
    const missing = relay.missing();
    if (missing !== undefined) process.stderr.write(`left out: ${missing}\n`);
    return missing === undefined;
  });
}

function paceName(stepMillis: number): string {
  return stepMillis === 0 ? "flood" : `${stepMillis} ms`;
}

function table(rows: readonly Row[]): string {
  const micros = (value: number | undefined) => (value === undefined ? "" : value.toFixed(0));
  const header = ["step", "streams", "relay", "tokens/s", "tokens/s per core", "CPU µs/token", "core", "p50 µs", "p99 µs", "added p50", "added p99"];
  const cells = rows.map((row) => [
    paceName(row.stepMillis),
    String(row.streams),
    row.relay,
    thousands(row.tokensPerSecond),
    row.cpuPerToken === undefined ? "" : thousands(1e6 / row.cpuPerToken),
    row.cpuPerToken?.toFixed(2) ?? "",
    row.cores === undefined ? "" : `${(100 * row.cores).toFixed(0)} %`,
    micros(row.p50),
    micros(row.p99),
    micros(row.addedP50),
    micros(row.addedP99),
  ]);
  return markdownTable(header, cells, [1, 3, 4, 5, 6, 7, 8, 9, 10]);
}

function thousands(value: number): string {
  return Number.isFinite(value) ? Math.round(value).toLocaleString("en-US") : "";
}

function names(text: string): string[] {
  const chosen = text.split(",").map((name) => name.trim());
  const unknown = chosen.find((name) => !relayNames.includes(name));
  if (unknown !== undefined) throw new InvalidArgumentError(`There is no ${unknown}; there are ${relayNames.join(", ")}.`);
  return chosen;
}

function numbers(least: number, most: number): (text: string) => number[] {
  return (text) => text.split(",").map((part) => number(part, least, most));
}

function number(text: string, least: number, most: number): number {
  const value = Number(text);
  if (Number.isInteger(value) && value >= least && value <= most) return value;
  throw new InvalidArgumentError(`It must be an integer from ${least} to ${most}.`);
}
