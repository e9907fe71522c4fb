import { PolygraftError } from "./error.js";
import type { TlsOptions } from "./options.js";
import { Transport } from "./transport.js";

/** Connections to the routers of one client, of which one is in use. Each is opened by its first call. */
export class Transports {
  readonly #all: readonly Transport[];
  #current: Transport;

  constructor(addresses: readonly string[], tls: TlsOptions | undefined) {
    this.#all = addresses.map((address) => new Transport(address, tls));
    const [first] = this.#all;
    if (first === undefined) {
      throw new PolygraftError("there is no address to connect to", {
        code: "INVALID_REQUEST",
        status: "INVALID_ARGUMENT",
        fields: [{ field: "address", description: "must name at least one server" }],
      });
    }
    this.#current = first;
  }

  /** How many servers there are. */
  get count(): number {
    return this.#all.length;
  }

  /** The one that calls should take now. */
  get current(): Transport {
    return this.#current;
  }

  /** Turns to the next server after a failure that is the server's, not the caller's; unless another call has turned. */
  turnFrom(transport: Transport, failure: PolygraftError): void {
    if (transport !== this.#current || !isServersFault(failure)) return;
    const next = (this.#all.indexOf(transport) + 1) % this.#all.length;
    this.#current = this.#all[next]!;
  }

  /** Resolves when one of the connections stands, which is then in use; rejects when none does by then. */
  async ready(deadline: number): Promise<void> {
    this.#current = await Promise.any(
      this.#all.map(async (transport) => {
        await transport.ready(deadline);
        return transport;
      }),
    );
  }

  /** Whether the way to at least one of them is encrypted. */
  get encrypted(): boolean {
    return this.#all.some(({ address }) => address.tls);
  }

  /** "host:port" of all of them, for messages. */
  get targets(): string {
    return this.#all.map(({ address }) => address.target).join(", ");
  }

  close(): void {
    for (const transport of this.#all) transport.close();
  }
}

/** Whether another router may do better: this one cannot be reached, has broken off or is leaving. */
function isServersFault({ code }: PolygraftError): boolean {
  return ["UNAVAILABLE", "INCOMPLETE_STREAM", "CANCELLED", "DRAINING", "NO_WORKER"].includes(code);
}
