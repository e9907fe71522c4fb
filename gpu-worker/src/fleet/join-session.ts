import { performance } from "node:perf_hooks";
import type { JoinRequest, JoinResponse, PrefetchAdapter, Welcome, WorkerHello } from "@polygraft/api";
import type { KeyRing } from "../access/key-ring.js";
import type { AdapterStore } from "../adapters/store.js";
import { Signal } from "../signal.js";
import type { LoadMeter } from "./load-meter.js";
import { ResidencyFeed } from "./residency-feed.js";
import type { ResidencyLog } from "./residency-log.js";
import type { WarmUp } from "./warm-up.js";

/** What a worker tells its routers, and does for them. */
export interface FleetMember {
  readonly hello: WorkerHello;
  readonly adapters: AdapterStore;
  /** The changes of `adapters`. */
  readonly log: ResidencyLog;
  readonly meter: LoadMeter;
  readonly warmUp: WarmUp;
  /** Learns whose access tokens to take. */
  readonly keys: KeyRing;
  /** A router asks for an adapter ahead of its first request. */
  prefetch(wanted: PrefetchAdapter): void;
  /** A router asks the worker to leave. */
  drain(reason: string): void;
}

/** Shortest time between two reports of changes, in milliseconds. */
const CHANGE_MILLIS = 100;
/** Longest silence until the router names its own. */
const DEFAULT_HEARTBEAT_MILLIS = 1000;

/** One stream to one router, from greeting to end. */
export class JoinSession {
  private readonly member: FleetMember;
  private readonly wake = new Signal();
  private readonly feed: ResidencyFeed;
  private readonly onProcesses: (ports: readonly number[]) => void;
  private readonly stopLog: () => void;
  private readonly stopMeter: () => void;
  private readonly stopWarmUp: () => void;
  /** What is said as soon as all changes are told. */
  private readonly urgent: NonNullable<JoinRequest["message"]>[] = [];
  private endHandOver: () => void = () => {};
  private welcome: Welcome | undefined;
  private heartbeatMillis = DEFAULT_HEARTBEAT_MILLIS;
  private loadChanged = true;
  private warming = false;
  private ended = false;
  private sequence = 0n;
  private samples = 0n;
  private sentMillis = 0;

  /** `onProcesses`: several routers share the address; these are their ports now. This stream joins none of them. */
  constructor(member: FleetMember, onProcesses: (ports: readonly number[]) => void) {
    this.member = member;
    this.onProcesses = onProcesses;
    this.feed = new ResidencyFeed(member.adapters, member.log);
    this.stopLog = member.log.notify(this.wake);
    this.stopWarmUp = member.warmUp.notify(this.wake);
    this.stopMeter = member.meter.subscribe(() => {
      this.loadChanged = true;
      this.wake.notify();
    });
  }

  /** Whether the router has taken the worker in, and still has it. */
  get welcomed(): boolean {
    return this.welcome !== undefined && !this.ended;
  }

  /** Tells the router that the worker leaves. The stream goes on until `end`. */
  leave(reason: string): void {
    this.say({ $case: "draining", value: { reason, handOver: false } });
  }

  /**
   * Asks the router to have the worker's adapters loaded elsewhere, while requests still come. Resolves when that is
   * done, or when the stream has ended.
   */
  async handOver(reason: string): Promise<void> {
    if (this.ended || this.welcome === undefined) return;
    const over = new Promise<void>((resolve) => (this.endHandOver = resolve));
    this.say({ $case: "draining", value: { reason, handOver: true } });
    await over;
  }

  /** Ends the stream from this side. */
  end(): void {
    this.ended = true;
    this.member.keys.leave(this);
    this.stopLog();
    this.stopMeter();
    this.stopWarmUp();
    this.member.warmUp.left(this);
    this.endHandOver();
    this.wake.notify();
  }

  /** Takes what the router says. Throws if that is more than it may say; the stream is to be ended then. */
  receive({ message }: JoinResponse): void {
    switch (message?.$case) {
      case "welcome":
        this.heartbeatMillis = message.value.heartbeatMillis || DEFAULT_HEARTBEAT_MILLIS;
        this.welcome = message.value;
        if (this.warming) this.member.warmUp.welcomed(this);
        return this.wake.notify();
      case "prefetch":
        return this.member.prefetch(message.value);
      case "drain":
        return this.member.drain(message.value.reason);
      case "accessKeys":
        return this.member.keys.learn(this, message.value);
      case "warmUp":
        return this.member.warmUp.asked(this, message.value);
      case "handedOver":
        return this.endHandOver();
      case "processes":
        return this.onProcesses(message.value.ports);
      case undefined: // of a newer router
    }
  }

  /** All that the router hears, until `end`. */
  async *messages(): AsyncGenerator<JoinRequest> {
    this.warming = !this.member.warmUp.over;
    yield this.numbered({ $case: "hello", value: { ...this.member.hello, warming: this.warming } });
    // What the router knows of an earlier stream is in its welcome.
    while (this.welcome === undefined && !this.ended) await this.wake.wait(DEFAULT_HEARTBEAT_MILLIS);
    for (const part of this.feed.begin(this.welcome?.resumeAfter)) yield this.numbered({ $case: "residency", value: part });
    while (!this.ended) {
      while (this.feed.hasChanges) {
        for (const part of this.feed.changes()) yield this.numbered({ $case: "residency", value: part });
      }
      if (this.warming && this.member.warmUp.over) {
        this.warming = false;
        yield this.numbered({ $case: "warmed", value: {} });
      }
      for (let next = this.urgent.shift(); next !== undefined; next = this.urgent.shift()) yield this.numbered(next);
      yield this.loadSample();
      await this.wait();
    }
  }

  private get hurries(): boolean {
    return this.ended || this.urgent.length > 0 || (this.warming && this.member.warmUp.over);
  }

  private say(message: NonNullable<JoinRequest["message"]>): void {
    this.urgent.push(message);
    this.wake.notify();
  }

  /** Until something has changed, but no sooner than `CHANGE_MILLIS`; or until it is time for a heartbeat. */
  private async wait(): Promise<void> {
    for (;;) {
      const pending = this.loadChanged || this.feed.hasChanges;
      const due = pending ? CHANGE_MILLIS : this.heartbeatMillis / 2;
      const left = due - this.silentMillis();
      if (left <= 0 || this.hurries) return;
      await this.wake.wait(left);
    }
  }

  private loadSample(): JoinRequest {
    this.loadChanged = false;
    this.sentMillis = performance.now();
    return this.numbered({ $case: "load", value: this.member.meter.sample(++this.samples) });
  }

  private silentMillis(): number {
    return performance.now() - this.sentMillis;
  }

  private numbered(message: NonNullable<JoinRequest["message"]>): JoinRequest {
    return { sequence: ++this.sequence, message };
  }
}
