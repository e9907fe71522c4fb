import type { LoadSample } from "@polygraft/api";
import type { Engine } from "../engine/engine.js";

/** Steps whose median time is told. */
const STEPS = 32;

/** Measures how busy the worker is, for its routers. */
export class LoadMeter {
  private readonly engine: Engine;
  private readonly waitingForAdapters: () => number;
  private readonly stepMicros: number[] = [];
  private readonly listeners = new Set<() => void>();
  private steps = 0;

  /** `waitingForAdapters`: requests that are not in the engine yet. */
  constructor(engine: Engine, waitingForAdapters: () => number) {
    this.engine = engine;
    this.waitingForAdapters = waitingForAdapters;
    engine.onStep(({ stepMicros }) => {
      this.stepMicros[this.steps++ % STEPS] = stepMicros;
      for (const listener of this.listeners) listener();
    });
  }

  /** Calls back when the load may have changed. The result ends it. */
  subscribe(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** The load at this moment. */
  sample(number: bigint): LoadSample {
    const load = this.engine.load();
    return {
      number,
      ageMicros: 0,
      waitingRequests: load.waiting + this.waitingForAdapters(),
      runningRequests: load.running,
      waitingTokens: load.waitingTokens,
      inFlightTokens: load.inFlightTokens,
      kvBlocksUsed: load.kvBlocksUsed,
      kvBlocksCached: load.kvBlocksCached,
      stepMicros: this.medianStepMicros(),
      steps: BigInt(load.steps),
      adapterBytesUsed: BigInt(load.adapterBytesUsed),
    };
  }

  private medianStepMicros(): number | undefined {
    const sorted = this.stepMicros.toSorted((a, b) => a - b);
    return sorted[Math.floor(sorted.length / 2)];
  }
}
