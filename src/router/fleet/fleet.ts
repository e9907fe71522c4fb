import { WorkerState } from "@polygraft/api";
import type { LoadSample, ResidencyUpdate, WorkerHello } from "@polygraft/api";
import { ModelFleets } from "@polygraft/placement";
import { Status } from "nice-grpc";
import type { Failure } from "../failure.js";
import { Departed } from "./departed.js";
import type { HoldingsChange } from "./holdings.js";
import { Listing } from "./listing.js";
import { FleetMember } from "./member.js";
import type { MemberFleet } from "./member.js";
import { ModelTotals } from "./model-total.js";
import type { ModelTotal } from "./model-total.js";

/** Who is in the fleet, as of one moment. Replaced, never changed; what a member holds and does is live. */
export interface FleetView {
  /** Grows with every change that the router sees, load included. */
  readonly version: number;
  /** In the order of their names. */
  readonly members: readonly FleetMember[];
}

/** Hears of changes. Members that are not listed yet, because their snapshot is not complete, are not told of. */
export interface FleetListener {
  /** A worker is new or back, or its state has changed. */
  changed?(member: FleetMember): void;
  /** A worker said how busy it is. */
  loaded?(member: FleetMember): void;
  /** What a worker holds has changed. */
  announced?(member: FleetMember, change: HoldingsChange): void;
  /** A worker will drain, and wants its adapters to be loaded elsewhere first. */
  leaving?(member: FleetMember): void;
  /** A worker is gone. */
  left?(member: FleetMember): void;
}

/** How much silence, and how long a standstill, is allowed, in milliseconds. */
export interface SilenceLimits {
  /** After this a worker is suspected: it gets requests only if there is nobody else. */
  readonly suspectAfterMillis: number;
  /** After this it is gone, and its stream is ended so that it joins anew. */
  readonly goneAfterMillis: number;
  /** After so long with requests in flight and no step a worker that is heard of is suspected, until it takes a step. */
  readonly wedgedAfterMillis: number;
}

/** Most adapters that one worker may announce. */
export const maxAnnouncedAdapters = 200_000;

/** The workers of a router. Knows no clock and no sockets: callers say what time it is. */
export class Fleet {
  readonly #members = new Map<string, FleetMember>();
  readonly #listeners = new Set<FleetListener>();
  readonly #listing = new Listing();
  readonly #models = new ModelFleets<FleetMember>((served) => served[0]?.total.tokens ?? 0);
  readonly #totals = new ModelTotals();
  readonly #departed = new Departed();
  #version = 0;

  /** The fleet as of now. */
  get view(): FleetView {
    return { version: this.#version, members: this.#listing.members };
  }

  /** Its listed workers by the name of their base model, prepared for placement. The same map until there is a change. */
  get models(): ReadonlyMap<string, MemberFleet> {
    return this.#models.current;
  }

  /** What the listed workers of a model have together. Live. Undefined: no worker of it has joined. */
  total(model: string): ModelTotal | undefined {
    return this.#totals.get(model);
  }

  /** The listed worker of that name. */
  member(name: string): FleetMember | undefined {
    const member = this.#members.get(name);
    return member?.holdings.complete === true ? member : undefined;
  }

  /** Tells a listener of every change from now on, until the result is called. */
  listen(listener: FleetListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * Takes a worker in. One of the same name that is there already gives way: it is a stream whose end has not been
   * noticed yet, or an older process. The worker is listed once its first residency snapshot is complete, or what it has
   * missed to tell since an earlier stream.
   */
  join(hello: WorkerHello, expel: (failure: Failure) => void, now: number): FleetMember {
    const older = this.#members.get(hello.name);
    const member = new FleetMember(hello, expel, now, this.#totals.enter(modelOf(hello)));
    if (older !== undefined) {
      this.leave(older);
      older.expel({
        status: Status.ALREADY_EXISTS,
        message: `a worker named "${hello.name}" has joined anew from ${hello.address}; names must be unique`,
      });
    }
    const earlier = this.#departed.recall(hello.name, hello.epoch);
    if (earlier !== undefined) member.holdings.resume(earlier);
    this.#members.set(hello.name, member);
    return member;
  }

  /** Drops a worker. Nothing happens if it has given way to another one before. */
  leave(member: FleetMember): void {
    if (!this.#isCurrent(member)) return;
    this.#members.delete(member.name);
    member.listed = false;
    this.#totals.leave(modelOf(member.hello));
    this.#departed.remember(member);
    if (!member.holdings.complete) return;
    this.#version += 1;
    this.#listing.remove(member);
    this.#models.remove(modelOf(member.hello), member.name);
    for (const listener of this.#listeners) listener.left?.(member);
  }

  /** A worker says what it holds. Returns a failure if that is more than a router keeps. */
  hold(member: FleetMember, update: ResidencyUpdate, now: number): Failure | undefined {
    if (!this.#isCurrent(member)) return undefined;
    this.#hear(member, now);
    const { holdings } = member;
    const wasListed = holdings.complete;
    if (Math.max(holdings.size, holdings.stagedSize) + update.adapters.length > maxAnnouncedAdapters) {
      return {
        status: Status.RESOURCE_EXHAUSTED,
        message: `a worker may announce at most ${maxAnnouncedAdapters} adapters`,
      };
    }
    const change = holdings.apply(update);
    if (!holdings.complete) return undefined;
    if (!wasListed) {
      member.listed = true;
      this.#version += 1;
      this.#listing.add(member);
      this.#models.set(modelOf(member.hello), member);
      for (const listener of this.#listeners) listener.changed?.(member);
    }
    this.#version += 1;
    for (const listener of this.#listeners) listener.announced?.(member, change);
    return undefined;
  }

  /** A worker says how busy it is. */
  load(member: FleetMember, sample: LoadSample, now: number): void {
    if (!this.#isCurrent(member)) return;
    member.tally.take(sample);
    if (member.state === WorkerState.SUSPECTED && !member.wedged) member.progress.restart();
    member.progress.take(sample, now);
    if (member.progress.stuckFor(now) === 0) member.wedged = false;
    this.#hear(member, now);
    if (!member.holdings.complete) return;
    this.#version += 1;
    for (const listener of this.#listeners) listener.loaded?.(member);
  }

  /** A worker says that it has loaded its first adapters. */
  warmed(member: FleetMember, now: number): void {
    if (!this.#isCurrent(member)) return;
    member.warming = false;
    if (member.state === WorkerState.WARMING) this.#setState(member, WorkerState.READY);
    this.#hear(member, now);
  }

  /** A worker says that it will drain, and takes requests until its adapters are loaded elsewhere. */
  handOver(member: FleetMember, now: number): void {
    if (!this.#isCurrent(member)) return;
    this.#hear(member, now);
    member.leaving = true;
    if (member.holdings.complete) for (const listener of this.#listeners) listener.leaving?.(member);
  }

  /** A worker says that it is leaving. */
  drain(member: FleetMember, now: number): void {
    if (!this.#isCurrent(member)) return;
    member.heardAt = now;
    this.#setState(member, WorkerState.DRAINING);
  }

  /** Judges silence and standstill. To be called several times within the shorter limit. */
  sweep(now: number, limits: SilenceLimits): void {
    this.#departed.sweep(now);
    for (const member of this.#members.values()) {
      const silent = now - member.heardAt;
      if (silent > limits.goneAfterMillis) {
        this.leave(member);
        member.expel({
          status: Status.DEADLINE_EXCEEDED,
          message: `nothing was heard from worker "${member.name}" for ${Math.round(silent)} ms; it may join anew`,
        });
      } else if (member.state === member.awake) {
        const isSilent = silent > limits.suspectAfterMillis;
        member.wedged = !isSilent && member.progress.stuckFor(now) > limits.wedgedAfterMillis;
        if (isSilent || member.wedged) this.#setState(member, WorkerState.SUSPECTED);
      }
    }
  }

  /** Ends the streams of all workers. They stay listed until their streams are closed. */
  expelAll(failure: Failure): void {
    for (const member of this.#members.values()) member.expel(failure);
  }

  #isCurrent(member: FleetMember): boolean {
    return this.#members.get(member.name) === member;
  }

  #hear(member: FleetMember, now: number): void {
    member.heardAt = now;
    if (member.state === WorkerState.SUSPECTED && !member.wedged) this.#setState(member, member.awake);
  }

  #setState(member: FleetMember, state: WorkerState): void {
    if (member.state === state) return;
    member.state = state;
    if (!member.holdings.complete) return;
    this.#version += 1;
    this.#models.set(modelOf(member.hello), member);
    for (const listener of this.#listeners) listener.changed?.(member);
  }
}

function modelOf({ model }: WorkerHello): string {
  return model?.name ?? "";
}
