import { Signal } from "../signal.js";

/** What a log asks of the adapters. */
export interface ResidencySource {
  /** Calls back with the key of each adapter that is new, gone or changed. */
  subscribe(listener: (key: string) => void): () => void;
}

/** Changes that are kept. A router that has missed more gets a snapshot. */
const CAPACITY = 16_384;

/**
 * The last changes of what a worker holds, numbered from 1. Only the keys are kept: what is told of an adapter is what
 * holds when it is told, so of several changes of one adapter the last is enough. All routers read the one log.
 */
export class ResidencyLog {
  private readonly capacity: number;
  /** A ring: change n is at n modulo the capacity. */
  private readonly ring: string[] = [];
  /** The last change of each adapter, among those kept. */
  private readonly latest = new Map<string, number>();
  private readonly signals = new Set<Signal>();
  private count = 0;

  constructor(source: ResidencySource, capacity = CAPACITY) {
    this.capacity = capacity;
    source.subscribe((key) => this.append(key));
  }

  /** Number of the last change; 0 before the first. */
  get last(): number {
    return this.count;
  }

  /** Notifies a signal of each change, until the result is called. */
  notify(signal: Signal): () => void {
    this.signals.add(signal);
    return () => this.signals.delete(signal);
  }

  /** Whether all changes after this number are kept. */
  has(after: number): boolean {
    return Number.isSafeInteger(after) && after >= this.count - this.capacity && after >= 0 && after <= this.count;
  }

  /**
   * Adapters that have changed after a number that the log `has`, at most so many, and the number up to which these are
   * all.
   */
  read(after: number, most: number): { readonly keys: string[]; readonly upTo: number } {
    const keys: string[] = [];
    let upTo = after;
    while (upTo < this.count && keys.length < most) {
      upTo += 1;
      const key = this.ring[upTo % this.capacity]!;
      if (this.latest.get(key) === upTo) keys.push(key);
    }
    return { keys, upTo };
  }

  private append(key: string): void {
    const place = ++this.count % this.capacity;
    const dropped = this.ring[place];
    if (dropped !== undefined && this.latest.get(dropped) === this.count - this.capacity) this.latest.delete(dropped);
    this.ring[place] = key;
    this.latest.set(key, this.count);
    for (const signal of this.signals) signal.notify();
  }
}
