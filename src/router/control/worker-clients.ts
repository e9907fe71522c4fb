import { AdapterServiceDefinition } from "@polygraft/api";
import type { AdapterServiceClient } from "@polygraft/api";
import { ChannelCredentials, createChannel, createClientFactory } from "nice-grpc";
import type { Channel } from "nice-grpc";
import { errorDetailsClientMiddleware, RichClientError, RichServerError } from "nice-grpc-error-details";
import { ClientError, ServerError } from "nice-grpc-common";
import { tlsPrefix } from "../relay/relay-tls.js";
import type { RelayTls } from "../relay/relay-tls.js";

/** Clients of the workers' adapter services, one channel an address. */
export class WorkerClients {
  readonly #factory = createClientFactory().use(errorDetailsClientMiddleware);
  readonly #channels = new Map<string, { readonly channel: Channel; readonly client: AdapterServiceClient }>();
  readonly #tls: RelayTls;

  constructor(tls: RelayTls) {
    this.#tls = tls;
    // A channel keeps the certificates that it was made with.
    tls.targets.onChange(() => this.close());
  }

  /** The client of the worker at "host:port" or "https://host:port". */
  get(address: string): AdapterServiceClient {
    let known = this.#channels.get(address);
    if (known === undefined) {
      const channel = this.#connect(address);
      known = { channel, client: this.#factory.create(AdapterServiceDefinition, channel) };
      this.#channels.set(address, known);
    }
    return known.client;
  }

  /** Closes the channel to a worker that is gone. */
  forget(address: string): void {
    this.#channels.get(address)?.channel.close();
    this.#channels.delete(address);
  }

  close(): void {
    for (const address of this.#channels.keys()) this.forget(address);
  }

  #connect(address: string): Channel {
    if (!address.startsWith(tlsPrefix)) return createChannel(address);
    const { targets, targetName } = this.#tls;
    const name = targetName === undefined ? {} : { "grpc.ssl_target_name_override": targetName };
    return createChannel(address, ChannelCredentials.createFromSecureContext(targets.context), name);
  }
}

/** A worker's refusal as the router's own, details included. */
export function passedOnError(error: unknown): unknown {
  if (error instanceof RichClientError) return new RichServerError(error.code, error.details, error.extra);
  if (error instanceof ClientError) return new ServerError(error.code, error.details);
  return error;
}
