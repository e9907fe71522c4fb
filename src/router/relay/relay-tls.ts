import { isIP } from "node:net";
import { connect } from "node:tls";
import type { TLSSocket } from "node:tls";
import type { CertificateFiles } from "@polygraft/tls";
import { splitAddress } from "./address.js";

/** How a relay speaks TLS. */
export interface RelayTls {
  /** The relay's certificate and key, and whose clients may connect. Absent: clients speak plain HTTP/2. */
  readonly clients?: CertificateFiles;
  /** What the relay shows to targets at "https://…", and the authorities that they need. */
  readonly targets: CertificateFiles;
  /** Name that must be in the targets' certificates, in place of their addresses' hosts. */
  readonly targetName?: string | undefined;
}

/** Begins the address of a target that speaks TLS. */
export const tlsPrefix = "https://";

/** Connects to a target at "https://host:port" and offers it HTTP/2. What goes wrong comes as the socket's "error". */
export function openTlsSocket(address: string, { targets, targetName }: RelayTls): TLSSocket {
  const { host, port } = splitAddress(address.slice(tlsPrefix.length));
  const servername = targetName ?? (isIP(host) === 0 ? host : undefined);
  return connect({
    host,
    port,
    secureContext: targets.context,
    ALPNProtocols: ["h2"],
    ...(servername === undefined ? {} : { servername }),
  });
}
