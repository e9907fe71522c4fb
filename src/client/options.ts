import type { RetryOptions } from "./retry.js";

/** Where a client connects, and what holds for all its calls. */
export interface PolygraftOptions {
  /**
   * The router, or a single worker: "host:port", "http://host:port" or "https://host:port" (TLS). Of several routers of
   * one fleet the client uses one, and turns to the next when that one is lost; streams go on there. A name stands for all
   * routers that it resolves to, in turns.
   * @default the environment variable POLYGRAFT_ADDRESS (several with commas between), else "127.0.0.1:50051"
   */
  readonly address?: string | readonly string[];
  /**
   * Sent with every call as `authorization: Bearer …`. Never logged, and never part of an error.
   * @default the environment variable POLYGRAFT_API_KEY, else none
   */
  readonly apiKey?: string;
  /** Certificates for "https://" addresses, in PEM. Default: the certificate authorities that Node trusts. */
  readonly tls?: TlsOptions;
  /**
   * Direct mode: follows the fleet, places generations as the routers would, and streams them straight from the workers,
   * which must be reachable from here. What cannot go this way goes through a router.
   * @default whether the environment variable POLYGRAFT_DIRECT is "1" or "true"
   */
  readonly direct?: boolean;
  /** Sent with every call. Keys are lower-case ASCII. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Time for a whole call, in milliseconds; 0 sets no deadline. Default: 600,000. */
  readonly timeoutMs?: number;
  /** What to retry, and how often. `false` retries nothing. */
  readonly retry?: RetryOptions | false;
}

/** Certificates in PEM. */
export interface TlsOptions {
  /** Authorities that may have signed the server's certificate. */
  readonly rootCertificates?: string | Uint8Array;
  /** The client's private key, where the server asks for a certificate. */
  readonly privateKey?: string | Uint8Array;
  /** The client's certificate chain. */
  readonly certificateChain?: string | Uint8Array;
  /** Name that the server's certificate must have. Default: the address' host. */
  readonly serverName?: string;
}

/** What holds for one call. */
export interface CallOptions {
  /** Cancels the call. It then fails with the code "CANCELLED" and the signal's reason as `cause`. */
  readonly signal?: AbortSignal;
  /** Time for the whole call with its retries, in milliseconds; 0 sets no deadline. Default: the client's. */
  readonly timeoutMs?: number;
  /** Sent besides the client's headers. Keys are lower-case ASCII. */
  readonly headers?: Readonly<Record<string, string>>;
}

/** What holds for one generation. */
export interface GenerateOptions extends CallOptions {
  /** Time until the first output, in milliseconds, retries included. It then fails with "FIRST_TOKEN_TIMEOUT". Default: none. */
  readonly firstTokenTimeoutMs?: number;
  /**
   * Longest wait for further output, in milliseconds. It then fails with "INTER_TOKEN_TIMEOUT". Only time spent waiting
   * counts, so a consumer that takes long over an event does not cause it. Default: none.
   */
  readonly interTokenTimeoutMs?: number;
  /**
   * What to retry, and how often. After the first output a retry asks for the rest of the stream, unless
   * `routing.failover` or `returnTokenIds` is false. Default: the client's.
   */
  readonly retry?: RetryOptions | false;
}
