import type { LoadSample } from "@polygraft/api";
import type { Engine } from "../engine/engine.js";
import { rankUnitBytes } from "./rank-units.js";

/** Steps whose median time is told. */
const STEPS = 32;

/** What the meter asks of the adapters. */
export interface AdapterUse {
  /** Requests that wait for an adapter, and are not in the engine yet. */
  readonly waiting: number;
  /** Bytes on the device of adapters that nobody uses or has pinned. */
  readonly evictableBytes: number;
}

/** Measures how busy the worker is, for its routers. */
export class LoadMeter {
  private readonly engine: Engine;
  private readonly adapters: AdapterUse;
  private readonly stepMicros: number[] = [];
  private readonly listeners = new Set<() => void>();
  private steps = 0;

  constructor(engine: Engine, adapters: AdapterUse) {
    this.engine = engine;
    this.adapters = adapters;
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
      waitingRequests: load.waiting + this.adapters.waiting,
      runningRequests: load.running,
      waitingTokens: load.waitingTokens,
      inFlightTokens: load.inFlightTokens,
      kvBlocksUsed: load.kvBlocksUsed,
      kvBlocksCached: load.kvBlocksCached,
      stepMicros: this.medianStepMicros(),
      steps: BigInt(load.steps),
      adapterBytesUsed: BigInt(load.adapterBytesUsed),
      freeRankUnits: this.freeRankUnits(load.adapterBytesUsed),
    };
  }

  /** Whole units that are empty, or could be emptied for an adapter that comes. */
  private freeRankUnits(bytesUsed: number): number {
    const { info } = this.engine;
    const held = bytesUsed - this.adapters.evictableBytes;
    return Math.max(0, Math.floor((info.adapterBytes - held) / rankUnitBytes(info)));
  }

  private medianStepMicros(): number | undefined {
    const sorted = this.stepMicros.toSorted((a, b) => a - b);
    return sorted[Math.floor(sorted.length / 2)];
  }
}
