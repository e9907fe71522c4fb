import { createSecureServer, createServer } from "node:http2";
import type { Http2SecureServer, Http2Server } from "node:http2";
import type { CertificateFiles } from "@polygraft/tls";
import type { RelayOptions } from "./http2-relay.js";

/** How long a client may take to shake hands, in milliseconds. */
const handshakeTimeoutMillis = 10_000;

/**
 * The server that clients connect to. With certificates it speaks TLS and nothing else, and where they name authorities,
 * only to clients with a certificate of theirs (mTLS). Replaced files count from the next connection on.
 */
export function createClientServer(
  options: RelayOptions,
  certificates: CertificateFiles | undefined,
  onHandshakeFailure: (reason: string) => void,
): Http2Server | Http2SecureServer {
  const http2 = {
    maxSessionMemory: 64,
    // Older versions of Node do not know these and keep 1,000 and 33. Above our own limits, which end with a reason.
    streamResetBurst: 2 * options.resets.burst,
    streamResetRate: 2 * options.resets.perSecond,
    settings: {
      initialWindowSize: options.streamWindowBytes,
      maxConcurrentStreams: options.maxStreamsPerSession,
      maxHeaderListSize: options.maxHeaderBytes,
    },
  };
  if (certificates === undefined) return prepared(createServer(http2), options);
  const { current } = certificates;
  const server = createSecureServer({
    ...http2,
    ...current,
    minVersion: "TLSv1.2",
    requestCert: current.ca !== undefined,
    rejectUnauthorized: true,
    handshakeTimeout: handshakeTimeoutMillis,
  });
  certificates.onChange((changed) => server.setSecureContext({ ...changed, minVersion: "TLSv1.2" }));
  server.on("tlsClientError", (error: Error) => onHandshakeFailure(error.message));
  return prepared(server, options);
}

function prepared<Server extends Http2Server | Http2SecureServer>(server: Server, { maxConnections }: RelayOptions): Server {
  server.maxConnections = maxConnections;
  server.on("connection", (socket: { setNoDelay(on: boolean): void }) => socket.setNoDelay(true));
  server.on("sessionError", () => {});
  return server;
}
