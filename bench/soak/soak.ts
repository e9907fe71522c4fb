import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setInterval as every } from "node:timers/promises";
import { Polygraft } from "@polygraft/client";
import { LocalFleet } from "polygraft";
import { repository } from "../repository.js";
import { MovingAdapters } from "./adapters.js";
import { leftovers } from "./leftovers.js";
import { growth, residentBytes } from "./memory.js";
import type { Growth, Sample } from "./memory.js";
import { watchPressure } from "./pressure.js";
import type { Pressure } from "./pressure.js";
import { Traffic } from "./traffic.js";
import type { Tally } from "./traffic.js";

/** How a soak runs. */
export interface SoakOptions {
  readonly seconds: number;
  readonly seed: number;
  /** Requests and other things at a time. Default: 24. */
  readonly lanes?: number;
  /** Hears how it goes, some times a minute. */
  readonly onProgress?: (line: string) => void;
}

/** What a soak found. */
export interface SoakResult {
  readonly tally: Tally;
  readonly pressure: Pressure;
  /** Memory of router and worker. */
  readonly memory: ReadonlyMap<string, Growth>;
  /** What is still in use although all requests have ended. */
  readonly left: readonly string[];
  /** Whether a request gave, bit for bit, the same after as before. */
  readonly same: boolean;
}

/** Less than all adapters, KV blocks and slots that the traffic wants: everything is evicted, queued and preempted. */
const tight = [
  "--adapter-bytes", "3M", "--adapter-turn-seconds", "0.2", "--host-adapter-bytes", "9M", "--kv-bytes", "12M", "--max-sequences", "12",
  "--max-queue", "32", "--adapter-wait-seconds", "2", "--rescan-seconds", "2", "--threads", "1",
]; // prettier-ignore

/** On a machine that is busy with other things, silence does not mean that a worker hangs. */
const patient = ["--heartbeat-seconds", "5"];

const sampleMillis = 500;
const progressMillis = 10_000;

/** Lets random traffic at a router and a worker, in processes of their own, and looks at what it leaves behind. */
export async function soak({ seconds, seed, lanes = 24, onProgress = () => {} }: SoakOptions): Promise<SoakResult> {
  const folder = await mkdtemp(join(tmpdir(), "polygraft-soak-"));
  const models = join(repository, "models");
  const adapters = await MovingAdapters.create(join(models, "adapters"), join(folder, "adapters"));
  const workerArguments = [...tight, "--cache-dir", join(folder, "cache")];
  const bugs: string[] = [];
  const onLog = (source: string, line: string): void => {
    if (line.startsWith("error: ")) bugs.push(`${source}: ${line}`);
  };
  const options = { model: join(models, "base"), adapters: adapters.folder, workerArguments, routerArguments: patient, onLog };
  const fleet = await LocalFleet.start(options);
  const client = new Polygraft({ address: fleet.address });
  try {
    const model = await served(client);
    const before = await probe(client);
    const listeners = [fleet.address, await fleet.workerAddress("worker-1")];
    const traffic = new Traffic({ ...model, address: fleet.address, listeners, adapters }, seed);
    const stop = new AbortController();
    const memory = watchMemory(fleet.processIds, stop.signal, onProgress, () => sum(traffic.tally.operations));
    const pressure = watchPressure(client, stop.signal);
    const timer = setTimeout(() => stop.abort(), seconds * 1000);
    try {
      await Promise.race([traffic.run(lanes, stop.signal), fleet.failed]);
    } finally {
      clearTimeout(timer);
      stop.abort();
    }
    const grown = new Map([...(await memory)].map(([name, samples]) => [name, growth(samples)]));
    const left = await leftovers(client);
    traffic.tally.surprises.unshift(...bugs);
    return { tally: traffic.tally, pressure: await pressure, memory: grown, left, same: (await probe(client)) === before };
  } finally {
    client.close();
    await fleet.stop();
    await rm(folder, { recursive: true, force: true });
  }
}

async function served(client: Polygraft): Promise<{ readonly vocabulary: number; readonly contextLength: number }> {
  for await (const { workers } of client.fleet.watch()) {
    const model = workers[0]?.model;
    if (model !== undefined) return { vocabulary: model.vocabularySize, contextLength: model.contextLength };
  }
  throw new Error("the router went away");
}

/** Resident bytes of processes by name, until the signal is aborted. */
async function watchMemory(
  processes: ReadonlyMap<string, number | undefined>,
  signal: AbortSignal,
  onProgress: (line: string) => void,
  operations: () => number,
): Promise<ReadonlyMap<string, readonly Sample[]>> {
  const samples = new Map([...processes].map(([name]) => [name, [] as Sample[]]));
  const begin = performance.now();
  let told = begin;
  try {
    for await (const _ of every(sampleMillis, undefined, { signal })) {
      const at = performance.now() - begin;
      for (const [name, pid] of processes) if (pid !== undefined) samples.get(name)?.push({ at, bytes: residentBytes(pid) });
      if (performance.now() - told < progressMillis) continue;
      told = performance.now();
      const sizes = [...samples].map(([name, own]) => `${name} ${((own.at(-1)?.bytes ?? 0) / 2 ** 20).toFixed(0)} MiB`);
      onProgress(`${(at / 1000).toFixed(0)} s: ${operations()} operations, ${sizes.join(", ")}`);
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  }
  return samples;
}

/** What the base says to one prompt, with every log-probability. */
async function probe(client: Polygraft): Promise<string> {
  const prompt = Array.from({ length: 150 }, (_, at) => 10 + at);
  const { tokenIds, logprobs } = await client.generate({ prompt, maxTokens: 40, ignoreEos: true, logprobs: true }).final();
  return JSON.stringify([tokenIds, logprobs]);
}

/** The sum of all counts. */
export function sum(counts: ReadonlyMap<string, number>): number {
  return [...counts.values()].reduce((total, count) => total + count, 0);
}

