import { setTimeout as delay } from "node:timers/promises";
import type { OpenCertificates } from "./certificates.js";
import type { Engine } from "./engine/engine.js";
import type { Routers } from "./fleet/routers.js";
import type { Admission } from "./request/admission.js";
import type { WorkerHealth } from "./server/health.js";
import type { WorkerServer } from "./server/worker-server.js";
import type { PromptEncoder } from "./tokenizer/prompt-encoder.js";

/** What a running worker consists of. */
export interface WorkerParts {
  /** Stable name. */
  readonly name: string;
  /** "host:port" where it listens. */
  readonly address: string;
  readonly engine: Engine;
  readonly encoder: PromptEncoder;
  readonly admission: Admission;
  readonly health: WorkerHealth;
  readonly server: WorkerServer;
  readonly certificates: OpenCertificates;
  readonly routers: Routers;
  /** Looks at the adapter folders from time to time. */
  readonly rescans: NodeJS.Timeout;
  /** How long running streams may go on after a stop, in milliseconds. */
  readonly drainMillis: number;
  /** How long routers may take to have the adapters loaded elsewhere, in milliseconds. */
  readonly handOverMillis: number;
}

/** What the last messages of a stream may take to leave, in milliseconds. */
const FLUSH_MILLIS = 1000;

/** A worker that serves, until it is drained. */
export class Worker {
  private readonly parts: WorkerParts;
  private drained: Promise<void> | undefined;

  constructor(parts: WorkerParts) {
    this.parts = parts;
  }

  /** Stable name. */
  get name(): string {
    return this.parts.name;
  }

  /** "host:port" where it listens. */
  get address(): string {
    return this.parts.address;
  }

  /**
   * Tells routers and health checks, hands its adapters over, takes no new requests then, lets the running ones finish for
   * as long as the options allow, and closes everything. Resolves when nothing is left.
   */
  async drain(reason: string): Promise<void> {
    this.drained ??= this.drainNow(reason);
    await this.drained;
  }

  private async drainNow(reason: string): Promise<void> {
    const { admission, certificates, drainMillis, encoder, engine, handOverMillis, health, rescans, routers, server } = this.parts;
    clearInterval(rescans);
    certificates.close();
    health.drain();
    await within(handOverMillis, routers.handOver(reason));
    routers.leave(reason);
    await within(drainMillis, admission.drain());
    // Streams that still run fail with DRAINING: their callers, or the router, go on elsewhere.
    await engine.close();
    await within(FLUSH_MILLIS, server.shutdown());
    server.forceShutdown();
    await Promise.all([routers.close(), encoder.close()]);
  }
}

/** Waits for `work`, but not for long. */
async function within(millis: number, work: Promise<void>): Promise<void> {
  const timer = new AbortController();
  await Promise.race([work, delay(millis, undefined, { signal: timer.signal })]);
  timer.abort();
}
