import type { AdapterRef, WarmUp as WarmUpRequest } from "@polygraft/api";
import { Signal } from "../signal.js";

/** What a warm-up needs. */
export interface WarmUpOptions {
  /** Longest wait from the first router's welcome on, in milliseconds. 0: none at all. */
  readonly limitMillis: number;
  /** Brings an adapter to the device. Never rejects. */
  load(adapter: AdapterRef): Promise<void>;
}

/**
 * The time between a worker's start and its first requests, in which it loads the adapters that its routers expect to
 * send it. Over when those of all routers that it has joined are there, or when it has lasted too long: a slow source
 * must not keep a worker idle. It comes once in the life of a process.
 */
export class WarmUp {
  private readonly options: WarmUpOptions;
  private readonly signals = new Set<Signal>();
  /** Streams to routers that have not said what they expect. */
  private readonly waitsFor = new Set<object>();
  private answered = false;
  private loading = 0;
  private timer: NodeJS.Timeout | undefined;
  private done: boolean;

  constructor(options: WarmUpOptions) {
    this.options = options;
    this.done = options.limitMillis === 0;
  }

  /** Whether requests may come. */
  get over(): boolean {
    return this.done;
  }

  /** Notifies a signal of the end, until the result is called. */
  notify(signal: Signal): () => void {
    this.signals.add(signal);
    return () => this.signals.delete(signal);
  }

  /** A router has welcomed the worker on this stream. */
  welcomed(stream: object): void {
    if (this.done) return;
    this.waitsFor.add(stream);
    this.timer ??= setTimeout(() => this.end(), this.options.limitMillis).unref();
  }

  /** A router says which adapters it expects to use. */
  asked(stream: object, { adapters }: WarmUpRequest): void {
    if (!this.done) void this.answer(stream, adapters);
  }

  /** That stream has ended. */
  left(stream: object): void {
    if (this.waitsFor.delete(stream)) this.check();
  }

  /** One adapter after the other: the first ones are the ones in use. */
  private async answer(stream: object, adapters: readonly AdapterRef[]): Promise<void> {
    this.loading += 1;
    for (const adapter of adapters) {
      if (this.done) return;
      await this.options.load(adapter);
    }
    this.loading -= 1;
    this.answered = true;
    this.waitsFor.delete(stream);
    this.check();
  }

  private check(): void {
    if (this.answered && this.loading === 0 && this.waitsFor.size === 0) this.end();
  }

  private end(): void {
    clearTimeout(this.timer);
    if (this.done) return;
    this.done = true;
    for (const signal of this.signals) signal.notify();
  }
}
