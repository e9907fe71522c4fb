import { atPort } from "./router-addresses.js";
import type { Link } from "./routers.js";

/** A link that waits between its tries, and can be told not to. */
export interface HurriedLink extends Link {
  hurry(): void;
}

/** No machine has as many: what is beyond is not joined. */
const MAX_PROCESSES = 256;

/** Links to the routers that share one address, each at a port of its own. */
export class RouterProcesses {
  private readonly shared: string;
  private readonly link: (address: string) => HurriedLink;
  private readonly links = new Map<string, HurriedLink>();
  private readonly closing = new Set<Promise<void>>();
  private leaving: string | undefined;
  private closed = false;

  /** `link` makes a link to an address. */
  constructor(shared: string, link: (address: string) => HurriedLink) {
    this.shared = shared;
    this.link = link;
  }

  /** The routers have these ports now. Those that it is not joined to are tried at once. None: they are no more. */
  set(ports: readonly number[]): void {
    if (this.closed) return;
    const addresses = new Set(ports.slice(0, MAX_PROCESSES).map((port) => atPort(this.shared, port)));
    for (const [address, link] of this.links) {
      if (addresses.has(address)) link.hurry();
      else this.part(address, link);
    }
    for (const address of addresses) if (!this.links.has(address)) this.join(address);
  }

  get joined(): boolean {
    return [...this.links.values()].some(({ joined }) => joined);
  }

  async handOver(reason: string): Promise<void> {
    await Promise.all([...this.links.values()].map(async (link) => link.handOver(reason)));
  }

  leave(reason: string): void {
    this.leaving = reason;
    for (const link of this.links.values()) link.leave(reason);
  }

  /** Resolves when all streams have ended. */
  async close(): Promise<void> {
    this.closed = true;
    for (const [address, link] of this.links) this.part(address, link);
    await Promise.all(this.closing);
  }

  private join(address: string): void {
    const link = this.link(address);
    if (this.leaving !== undefined) link.leave(this.leaving);
    this.links.set(address, link);
  }

  private part(address: string, link: HurriedLink): void {
    this.links.delete(address);
    const closed = link.close().finally(() => this.closing.delete(closed));
    this.closing.add(closed);
  }
}
