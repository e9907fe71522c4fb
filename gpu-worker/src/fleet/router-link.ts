import { isIP } from "node:net";
import { performance } from "node:perf_hooks";
import { FleetServiceDefinition } from "@polygraft/api";
import { ChannelCredentials, createChannel, createClient, Metadata, type Channel } from "nice-grpc";
import type { ApiKeySource } from "../access/api-key.js";
import type { OpenCertificates } from "../certificates.js";
import type { Log } from "../log.js";
import { Signal } from "../signal.js";
import { Backoff } from "./backoff.js";
import { JoinSession, type FleetMember } from "./join-session.js";
import { RouterProcesses } from "./router-processes.js";
import type { Link } from "./routers.js";

/** How a worker stays joined to one router. */
export interface RouterLinkOptions {
  /** "host:port" or "https://host:port" of the router. */
  readonly address: string;
  /** Host that its certificate must be for, unless `certificates` names another. */
  readonly host: string;
  /** What it is shown, and must show, at "https://…". */
  readonly certificates: Pick<OpenCertificates, "routers" | "routerName">;
  /** Asked each time that it joins, for routers that ask for keys. Never logged. */
  readonly apiKey: ApiKeySource;
  readonly member: FleetMember;
  readonly log: Log;
  /** It cannot join, or the stream has ended. */
  readonly failed: () => void;
  /** It is one of several that share an address: it cannot stand for several itself. Default: false. */
  readonly isProcess?: boolean;
  /** Waits between tries. Default: 100 ms at first, 5 s at most. */
  readonly backoff?: Backoff;
}

/** A stream that lasted this long, in milliseconds, was no failed try. */
const STABLE_MILLIS = 5000;

/** Notices a router whose machine has vanished: a ping after silence, and how long its answer may take. */
const KEEPALIVE = { "grpc.keepalive_time_ms": 10_000, "grpc.keepalive_timeout_ms": 5000 };

/**
 * Keeps the worker joined to one router for as long as it lives: when the stream ends, it joins anew. Where several
 * routers share the address, the stream says which, and there is a link to each of them instead.
 */
export class RouterLink implements Link {
  private readonly options: RouterLinkOptions;
  private readonly backoff: Backoff;
  private readonly stopped = new AbortController();
  private readonly done: Promise<void>;
  private readonly wake = new Signal();
  private readonly processes: RouterProcesses;
  private session: JoinSession | undefined;
  private leaving: string | undefined;

  constructor(options: RouterLinkOptions) {
    this.options = options;
    this.backoff = options.backoff ?? new Backoff({ firstMillis: 100, mostMillis: 5000 });
    this.processes = new RouterProcesses(options.address, (address) => new RouterLink({ ...options, address, isProcess: true }));
    this.done = this.stayJoined();
  }

  get joined(): boolean {
    return this.session?.welcomed === true || this.processes.joined;
  }

  /** Tells the router that the worker takes no new requests. */
  leave(reason: string): void {
    this.leaving = reason;
    this.session?.leave(reason);
    this.processes.leave(reason);
  }

  /** Has the worker's adapters loaded elsewhere, where a router is there to do it. Requests still come meanwhile. */
  async handOver(reason: string): Promise<void> {
    await Promise.all([this.session?.handOver(reason), this.processes.handOver(reason)]);
  }

  /** Ends the stream. Resolves when it has ended. */
  async close(): Promise<void> {
    this.stopped.abort();
    this.wake.notify();
    this.session?.end();
    await Promise.all([this.done, this.processes.close()]);
  }

  /** Does not wait any longer for its next try. */
  hurry(): void {
    this.wake.notify();
  }

  private async stayJoined(): Promise<void> {
    const { address, log } = this.options;
    while (!this.stopped.signal.aborted) {
      const begin = performance.now();
      const reason = await this.join().then(
        () => "the router ended the stream",
        (error: unknown) => (error instanceof Error ? error.message : String(error)),
      );
      if (this.stopped.signal.aborted) return;
      if (performance.now() - begin >= STABLE_MILLIS) this.backoff.reset();
      this.options.failed();
      const wait = this.backoff.next();
      log.warn("not joined", { router: address, reason, retryMillis: Math.round(wait) });
      await this.wake.wait(wait);
    }
  }

  private follow(ports: readonly number[]): void {
    const { address, isProcess = false } = this.options;
    if (isProcess) throw new Error(`${address} was to be one router, and says that it is several`);
    this.processes.set(ports);
  }

  private connect(): Channel {
    const { address, certificates, host } = this.options;
    if (!address.startsWith("https://")) return createChannel(address, undefined, KEEPALIVE);
    const { routers, routerName = isIP(host) === 0 ? host : undefined } = certificates;
    const name = routerName === undefined ? {} : { "grpc.ssl_target_name_override": routerName };
    return createChannel(address, ChannelCredentials.createFromSecureContext(routers.context), { ...KEEPALIVE, ...name });
  }

  /** One stream, to its end. */
  private async join(): Promise<void> {
    const { address, apiKey, member, log } = this.options;
    const channel = this.connect();
    const session = new JoinSession(member, (ports) => this.follow(ports));
    this.session = session;
    if (this.leaving !== undefined) session.leave(this.leaving);
    try {
      const client = createClient(FleetServiceDefinition, channel);
      const key = await apiKey();
      const metadata = Metadata(key === undefined ? undefined : { authorization: `Bearer ${key}` });
      const { signal } = this.stopped;
      for await (const response of client.join(session.messages(), { metadata, signal })) {
        if (response.message?.$case === "welcome") {
          log.info("joined", { router: address, name: response.message.value.router });
          this.processes.set([]);
        }
        session.receive(response);
      }
    } finally {
      session.end();
      this.session = undefined;
      channel.close();
    }
  }
}
