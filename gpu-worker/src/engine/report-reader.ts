import type { NativeReportLayout } from "./addon.js";
import type { Alternative, EngineFinish, EngineLoad } from "./engine.js";

/** Kinds of events: pg_event_kind. */
export const EVENT = { started: 0, promptScore: 1, token: 2, finished: 3, failed: 4, replaced: 5 } as const;

/** Numbers in a load. */
export const LOAD_FIELDS = 10;

const FINISHES: readonly EngineFinish[] = ["stop-token", "max-tokens", "context-full", "cancelled"];
const EVENT_WORDS = 8;
const NONE: readonly Alternative[] = [];

/**
 * Reads one report buffer through typed arrays: nothing is made for an event but its alternatives, if it has some.
 * Words of an event: id (two), kind, token, logprob, value, number of alternatives, first alternative.
 */
export class ReportReader {
  readonly #words: Uint32Array;
  readonly #floats: Float32Array;
  readonly #load: Float64Array;
  readonly #alternatives: number;

  constructor(buffer: ArrayBuffer, layout: NativeReportLayout) {
    this.#words = new Uint32Array(buffer, layout.eventsOffset);
    this.#floats = new Float32Array(buffer, layout.eventsOffset);
    this.#load = new Float64Array(buffer, 0, LOAD_FIELDS);
    this.#alternatives = (layout.alternativesOffset - layout.eventsOffset) / Uint32Array.BYTES_PER_ELEMENT;
  }

  id(event: number): number {
    const at = event * EVENT_WORDS;
    return this.#word(at) + this.#word(at + 1) * 2 ** 32;
  }

  kind(event: number): number {
    return this.#word(event * EVENT_WORDS + 2);
  }

  token(event: number): number {
    return this.#word(event * EVENT_WORDS + 3);
  }

  logprob(event: number): number {
    return this.#floats[event * EVENT_WORDS + 4] ?? 0;
  }

  value(event: number): number {
    return this.#word(event * EVENT_WORDS + 5);
  }

  /** Of a `finished` event. */
  finish(event: number): EngineFinish {
    return FINISHES[this.value(event)] ?? "cancelled";
  }

  top(event: number): readonly Alternative[] {
    const count = this.#word(event * EVENT_WORDS + 6);
    if (count === 0) return NONE;
    const first = this.#alternatives + this.#word(event * EVENT_WORDS + 7) * 2;
    return Array.from({ length: count }, (_, i) => ({
      tokenId: this.#word(first + i * 2),
      logprob: this.#floats[first + i * 2 + 1] ?? 0,
    }));
  }

  load(): EngineLoad {
    return readLoad(this.#load);
  }

  #word(at: number): number {
    return this.#words[at] ?? 0;
  }
}

/** The fields of pg_load, in its order. */
export function readLoad(fields: Float64Array): EngineLoad {
  const field = (at: number): number => fields[at] ?? 0;
  return {
    steps: field(0),
    stepMicros: field(1),
    stepTokens: field(2),
    running: field(3),
    waiting: field(4),
    waitingTokens: field(5),
    inFlightTokens: field(6),
    kvBlocksUsed: field(7),
    adapterBytesUsed: field(8),
    kvBlocksCached: field(9),
  };
}
