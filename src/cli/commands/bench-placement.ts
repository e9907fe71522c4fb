import { defaultPolicy } from "@polygraft/placement";
import { Command, Option } from "commander";
import { decimal, integer, integers } from "../arguments.js";
import { movementOf } from "../bench/placement/movement.js";
import type { Movement } from "../bench/placement/movement.js";
import { npmRing, npmRings } from "../bench/placement/npm-rings.js";
import { boundedRing, leastLoaded, polygraft, random } from "../bench/placement/policies.js";
import type { Policy } from "../bench/placement/policies.js";
import { simulate } from "../bench/placement/simulate.js";
import type { SimulationResult } from "../bench/placement/simulate.js";
import type { ViewCost } from "../bench/placement/view.js";
import { traceNames } from "../bench/placement/traces.js";
import type { TraceName } from "../bench/placement/traces.js";
import { interruptible } from "../interrupt.js";
import { Stdout } from "../output/stdout.js";
import { formatTable } from "../output/table.js";
import type { Column } from "../output/table.js";

interface PlacementBenchOptions {
  readonly workers: readonly number[];
  readonly traces: readonly TraceName[];
  readonly adapters: number;
  readonly requests?: number;
  readonly epsilon: number;
  readonly floorTokens: number;
  readonly seed: number;
  readonly view?: boolean;
  readonly json?: boolean;
}

/** One trace through one policy. */
interface Row extends SimulationResult {
  readonly trace: TraceName;
  readonly workers: number;
  readonly policy: string;
  readonly adapters: number;
  readonly requests: number;
  readonly seed: number;
}

/** What a change of the fleet moves under one policy. */
interface MovementRow extends Movement {
  readonly workers: number;
  readonly policy: string;
}

/** Below this the caches of few workers are still cold at the end; above this, those of many have seen enough. */
const leastRequests = 100_000;
const requestsPerWorker = 300;
/** Keys whose owners are compared. */
const comparedKeys = 20_000;
/** Decisions whose times are measured with one view. */
const viewDecisions = 5000;

/** `polygraft bench placement`: where requests go, simulated. */
export function benchPlacementCommand(): Command {
  return new Command("placement")
    .summary("simulate placement beside other ways to choose a worker")
    .description(
      "Simulates a fleet, event by event, under several ways to choose a worker: requests of Zipf's law (zipf), of two days\n" +
        "and nights with adapters of their own (diurnal), and with a sudden crowd for one adapter (flash). The first quarter\n" +
        "of each run does not count. Times of decisions are measured on this machine, everything else is computed and the\n" +
        "same everywhere.",
    )
    .option("--workers <list>", "sizes of the fleet", integers(2, 10_000), [8, 64, 1000])
    .addOption(new Option("--traces <names...>", "what is asked for").choices(traceNames).default(traceNames))
    .option("--adapters <n>", "adapters that there are", integer(1, 10_000_000), 100_000)
    .option("--requests <n>", `requests of a run (default: ${requestsPerWorker} a worker, at least ${leastRequests})`, integer(100, 100_000_000))
    .option("--epsilon <x>", "slack of the load bounds", decimal(1e-3, 1e3), defaultPolicy.epsilon)
    .option("--floor-tokens <n>", "tokens up to which polygraft's load bound does not apply", integer(0), defaultPolicy.floorTokens)
    .option("--seed <n>", "seed of the traces", integer(0, 2 ** 31), 1)
    .option("--view", "measure instead what a router's view of its fleet costs, beside one made anew at each change")
    .option("--json", "print one JSON object a line")
    .addHelpText(
      "after",
      `
Columns:
  imbalance    in-flight tokens of the busiest worker over the mean: mean and 99th percentile over time
  misses       requests whose adapter was not on the device of their worker
  moves        requests that went elsewhere than the one before of their adapter
  copies       most workers that held one adapter at a time
  wait         until a request is ready for its first step: queue, and load of the adapter
  decision     time to choose a worker

Columns of --view:
  a join                    each of 200 workers, or half of them, that join between two decisions
  decision after a change   the first one after a worker has joined or left
  decision                  one with all workers above the floor, each after a request and a load sample
  allocates                 bytes of such a decision on V8's heap, by its sampling heap profiler

Examples:
  polygraft bench placement
  polygraft bench placement --workers 64 --traces flash
  polygraft bench placement --view --workers 1000,10000
  polygraft bench placement --workers 8 --requests 20000 --json`,
    )
    .action(benchPlacement);
}

async function benchPlacement(options: PlacementBenchOptions): Promise<void> {
  const output = new Stdout();
  const progress = (line: string) => void process.stderr.write(`${line}\n`);
  if (options.view === true) return printViewCosts(options, output);
  await interruptible(async (signal) => {
    const policies = await policiesFor(options, progress);
    const rows: Row[] = [];
    const runs = options.workers.length * options.traces.length * policies.length;
    let run = 0;
    for (const workers of options.workers) {
      for (const trace of options.traces) {
        for (const policy of policies) {
          progress(`${++run} of ${runs}: ${trace}, ${workers} workers, ${policy.name}`);
          const { adapters, seed, requests = Math.max(leastRequests, requestsPerWorker * workers) } = options;
          const setup = { trace, workers, adapters, requests, seed };
          const row = { ...setup, policy: policy.name, ...(await simulate(policy, setup, signal)) };
          if (options.json === true) await output.write(JSON.stringify(row) + "\n");
          else rows.push(row);
        }
      }
    }
    const moved = options.workers.flatMap((workers) => movements(policies, workers));
    if (options.json === true) for (const row of moved) await output.write(JSON.stringify(row) + "\n");
    else await output.write(`${formatTable(columns, rows)}\n${formatTable(movementColumns, moved)}`);
  });
}

async function printViewCosts({ workers, json }: PlacementBenchOptions, output: Stdout): Promise<void> {
  // Loaded here, because the simulations need no router.
  const { viewCosts } = await import("../bench/placement/view.js");
  const rows: ViewCost[] = [];
  for (const count of workers) rows.push(...(await viewCosts(count, viewDecisions)));
  await output.write(json === true ? rows.map((row) => JSON.stringify(row) + "\n").join("") : formatTable(viewColumns, rows));
}

async function policiesFor(options: PlacementBenchOptions, progress: (line: string) => void): Promise<Policy[]> {
  const { epsilon, floorTokens } = options;
  const policies = [polygraft({ epsilon, floorTokens }), boundedRing(epsilon)];
  for (const name of npmRings) {
    const ring = await npmRing(name);
    if (ring === undefined) progress(`left out: ${name} is not installed; "npm install ${name}" beside polygraft brings it`);
    else policies.push(ring);
  }
  return [...policies, leastLoaded, random];
}

function movements(policies: readonly Policy[], workers: number): MovementRow[] {
  const rows: MovementRow[] = [];
  for (const policy of policies) {
    const movement = movementOf(policy, workers, comparedKeys);
    if (movement !== undefined) rows.push({ workers, policy: policy.name, ...movement });
  }
  return rows;
}

const percent = (part: number) => `${(part * 100).toFixed(1)} %`;
const two = (value: number) => value.toFixed(2);

const columns: readonly Column<Row>[] = [
  { title: "trace", cell: ({ trace }) => trace },
  { title: "workers", cell: ({ workers }) => String(workers), align: "right" },
  { title: "policy", cell: ({ policy }) => policy },
  { title: "imbalance", cell: ({ imbalance }) => two(imbalance), align: "right" },
  { title: "p99", cell: ({ imbalanceP99 }) => two(imbalanceP99), align: "right" },
  { title: "misses", cell: ({ misses }) => percent(misses), align: "right" },
  { title: "moves", cell: ({ moves }) => percent(moves), align: "right" },
  { title: "copies", cell: ({ mostCopies }) => String(mostCopies), align: "right" },
  { title: "wait p50", cell: ({ waitP50Ms }) => `${waitP50Ms.toFixed(0)} ms`, align: "right" },
  { title: "p99", cell: ({ waitP99Ms }) => `${waitP99Ms.toFixed(0)} ms`, align: "right" },
  { title: "decision p50", cell: ({ decisionP50Micros }) => `${two(decisionP50Micros)} us`, align: "right" },
  { title: "p99", cell: ({ decisionP99Micros }) => `${two(decisionP99Micros)} us`, align: "right" },
  { title: "decisions/s", cell: ({ decisionsPerSecond }) => String(Math.round(decisionsPerSecond)), align: "right" },
];

const movementColumns: readonly Column<MovementRow>[] = [
  { title: "workers", cell: ({ workers }) => String(workers), align: "right" },
  { title: "policy", cell: ({ policy }) => policy },
  { title: "keys moved by a join", cell: ({ join }) => `${(join * 100).toFixed(2)} %`, align: "right" },
  { title: "at best", cell: ({ workers }) => `${(100 / (workers + 1)).toFixed(2)} %`, align: "right" },
  { title: "by a leave", cell: ({ leave }) => `${(leave * 100).toFixed(2)} %`, align: "right" },
  { title: "at best", cell: ({ workers }) => `${(100 / workers).toFixed(2)} %`, align: "right" },
];

const viewColumns: readonly Column<ViewCost>[] = [
  { title: "workers", cell: ({ workers }) => String(workers), align: "right" },
  { title: "view", cell: ({ view }) => view },
  { title: "a join", cell: ({ joinMicros }) => `${two(joinMicros)} us`, align: "right" },
  { title: "decision after a change", cell: ({ afterChangeMicros }) => `${two(afterChangeMicros)} us`, align: "right" },
  { title: "decision p50", cell: ({ decisionP50Micros }) => `${two(decisionP50Micros)} us`, align: "right" },
  { title: "p99", cell: ({ decisionP99Micros }) => `${two(decisionP99Micros)} us`, align: "right" },
  { title: "allocates", cell: ({ decisionBytes }) => `${Math.round(decisionBytes)} B`, align: "right" },
];
