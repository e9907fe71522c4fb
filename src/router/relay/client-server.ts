import { createSecureServer, createServer } from "node:http2";
import type { Http2SecureServer, Http2Server } from "node:http2";
import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
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
  onHandshakeFailure: (peer: string, reason: string) => void,
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
  server.on("tlsClientError", (error: Error, socket: TLSSocket) => onHandshakeFailure(peerOf(socket), error.message));
  return prepared(server, options);
}

function prepared<Server extends Http2Server | Http2SecureServer>(server: Server, { maxConnections }: RelayOptions): Server {
  server.maxConnections = maxConnections;
  server.on("connection", (socket: Socket) => {
    socket.setNoDelay(true);
    // A socket forgets its peer as it closes, unless it has been asked before: see `peerOf`.
    void socket.remoteAddress;
  });
  server.on("sessionError", () => {});
  return server;
}

/** Who did not come through a handshake. Often its connection is closed by now, and only the one below TLS still knows. */
function peerOf(socket: TLSSocket & { readonly _parent?: Socket }): string {
  return socket.remoteAddress ?? socket._parent?.remoteAddress ?? "unknown";
}
