import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Backend } from "./backend.js";
import { Load } from "./load.js";
import type { TokenLoad } from "./load.js";
import { pace } from "./pace.js";
import { processSeconds } from "./process-time.js";
import type { Relay } from "./relays/relay.js";

/** What is asked of a relay. */
export interface Shape {
  /** Milliseconds between the steps of the backend; 0: a step whenever the harness has time. */
  readonly stepMillis: number;
  readonly streams: number;
  /** Connections of the client that share the streams. */
  readonly connections: number;
  /** Messages of a response. */
  readonly tokens: number;
  readonly warmUpSeconds: number;
  readonly seconds: number;
}

/** What a relay did. Times in microseconds. */
export interface Measured {
  readonly tokensPerSecond: number;
  readonly responsesPerSecond: number;
  /** Processor time of the relay for each token; undefined where there is no relay. */
  readonly cpuPerToken?: number;
  /** Part of a core that the relay used. */
  readonly cores?: number;
  readonly p50: number;
  readonly p99: number;
}

/**
 * Measures a relay.
 *
 * @throws if a response came incomplete, out of order or not at all: numbers of a relay that loses tokens mean nothing.
 */
export async function measure(relay: Relay, shape: Shape): Promise<Measured> {
  const folder = mkdtempSync(join(tmpdir(), "polygraft-relay-bench-"));
  const remove = (): void => rmSync(folder, { recursive: true, force: true });
  process.on("exit", remove);
  const backend = new Backend(shape.tokens, relay.load !== undefined);
  const load = relay.load?.(shape.tokens) ?? new Load(shape.tokens);
  const running = await relay.start(await backend.listen(), folder);
  const stopPacing = pace(shape.stepMillis, () => backend.step());
  try {
    await load.start(running.port, shape.streams, shape.connections);
    await firstResponse(load, relay.name);
    await sleep(shape.warmUpSeconds * 1000);
    const used = () => running.processes().reduce((sum, pid) => sum + processSeconds(pid), 0);
    load.take();
    const [cpuBefore, before] = [used(), performance.now()];
    await sleep(shape.seconds * 1000);
    const [cpu, seconds] = [used() - cpuBefore, (performance.now() - before) / 1000];
    const { latencies, responses, bad, why } = load.take();
    if (bad > 0 || responses === 0) throw new Error(`${relay.name}: ${bad} of ${responses} responses are bad: ${why ?? "none came"}`);
    latencies.sort();
    const tokens = latencies.length;
    return {
      tokensPerSecond: tokens / seconds,
      responsesPerSecond: responses / seconds,
      ...(running.processes().length === 0 ? {} : { cpuPerToken: (cpu * 1e6) / tokens, cores: cpu / seconds }),
      p50: latencies[Math.floor(tokens * 0.5)]!,
      p99: latencies[Math.floor(tokens * 0.99)]!,
    };
  } finally {
    load.close();
    stopPacing();
    backend.close();
    await running.stop();
    remove();
    process.off("exit", remove);
  }
}

/** Waits until a response has come whole: how long a relay takes to start is not what is measured. */
async function firstResponse(load: TokenLoad, name: string): Promise<void> {
  for (let waited = 0; load.responses === 0; waited += 50) {
    if (waited > 30_000) throw new Error(`${name}: no response came within 30 seconds`);
    await sleep(50);
  }
}
