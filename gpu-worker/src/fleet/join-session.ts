import { performance } from "node:perf_hooks";
import type { JoinRequest, JoinResponse, PrefetchAdapter, Welcome, WorkerHello } from "@polygraft/api";
import type { KeyRing } from "../access/key-ring.js";
import type { AdapterStore } from "../adapters/store.js";
import { Signal } from "../signal.js";
import type { LoadMeter } from "./load-meter.js";
import { ResidencyFeed } from "./residency-feed.js";
import type { ResidencyLog } from "./residency-log.js";

/** What a worker tells its routers, and does for them. */
export interface FleetMember {
  readonly hello: WorkerHello;
  readonly adapters: AdapterStore;
  /** The changes of `adapters`. */
  readonly log: ResidencyLog;
  readonly meter: LoadMeter;
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
  private readonly stopLog: () => void;
  private readonly stopMeter: () => void;
  private welcome: Welcome | undefined;
  private heartbeatMillis = DEFAULT_HEARTBEAT_MILLIS;
  private loadChanged = true;
  private leaving: string | undefined;
  private ended = false;
  private sequence = 0n;
  private samples = 0n;
  private sentMillis = 0;

  constructor(member: FleetMember) {
    this.member = member;
    this.feed = new ResidencyFeed(member.adapters, member.log);
    this.stopLog = member.log.notify(this.wake);
    this.stopMeter = member.meter.subscribe(() => {
      this.loadChanged = true;
      this.wake.notify();
    });
  }

  /** Tells the router that the worker leaves. The stream goes on until `end`. */
  leave(reason: string): void {
    this.leaving = reason;
    this.wake.notify();
  }

  /** Ends the stream from this side. */
  end(): void {
    this.ended = true;
    this.member.keys.leave(this);
    this.stopLog();
    this.stopMeter();
    this.wake.notify();
  }

  /** Takes what the router says. Throws if that is more than it may say; the stream is to be ended then. */
  receive({ message }: JoinResponse): void {
    switch (message?.$case) {
      case "welcome":
        this.heartbeatMillis = message.value.heartbeatMillis || DEFAULT_HEARTBEAT_MILLIS;
        this.welcome = message.value;
        return this.wake.notify();
      case "prefetch":
        return this.member.prefetch(message.value);
      case "drain":
        return this.member.drain(message.value.reason);
      case "accessKeys":
        return this.member.keys.learn(this, message.value);
      case undefined: // of a newer router
    }
  }

  /** All that the router hears, until `end`. */
  async *messages(): AsyncGenerator<JoinRequest> {
    yield this.numbered({ $case: "hello", value: this.member.hello });
    // What the router knows of an earlier stream is in its welcome.
    while (this.welcome === undefined && !this.ended) await this.wake.wait(DEFAULT_HEARTBEAT_MILLIS);
    for (const part of this.feed.begin(this.welcome?.resumeAfter)) yield this.numbered({ $case: "residency", value: part });
    let saidLeaving = false;
    while (!this.ended) {
      if (this.leaving !== undefined && !saidLeaving) {
        saidLeaving = true;
        yield this.numbered({ $case: "draining", value: { reason: this.leaving } });
      }
      while (this.feed.hasChanges) {
        for (const part of this.feed.changes()) yield this.numbered({ $case: "residency", value: part });
      }
      yield this.loadSample();
      await this.wait(() => this.leaving !== undefined && !saidLeaving);
    }
  }

  /** Until something has changed, but no sooner than `CHANGE_MILLIS`; or until it is time for a heartbeat. */
  private async wait(hurry: () => boolean): Promise<void> {
    for (;;) {
      const pending = this.loadChanged || this.feed.hasChanges;
      const due = pending ? CHANGE_MILLIS : this.heartbeatMillis / 2;
      const left = due - this.silentMillis();
      if (left <= 0 || this.ended || hurry()) return;
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
