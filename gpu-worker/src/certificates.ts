import { lookMillis, openBothEnds, reloadAll, type CertificateFiles } from "@polygraft/tls";
import type { Log } from "./log.js";

/** Files in PEM with which a worker speaks TLS. All are read again when they change. */
export interface WorkerCertificates {
  /** The worker's certificate and those that lead to its authority: callers must then speak TLS. Routers that ask are shown it, too. */
  readonly tlsCert?: string | undefined;
  /** The key of that certificate, unencrypted. */
  readonly tlsKey?: string | undefined;
  /** Authorities: only who has a certificate of theirs may call, such as the routers. Default: everybody may. */
  readonly tlsClientCa?: string | undefined;
  /** Authorities of the certificates of routers joined at "https://…". Default: those that Node trusts. */
  readonly routerCa?: string | undefined;
  /** Name that routers' certificates must have. Default: the host of the router's address. */
  readonly routerTlsName?: string | undefined;
}

/** The files of a running worker. */
export interface OpenCertificates {
  /** For its server. Absent: it speaks plain HTTP/2. */
  readonly callers?: CertificateFiles;
  /** For routers at "https://…". */
  readonly routers: CertificateFiles;
  readonly routerName: string | undefined;
  /** Looks at them no more. */
  close(): void;
}

/**
 * Opens the certificate files of a worker and looks at them again and again.
 * @throws TlsFileError if one cannot be used, RangeError if there are authorities of callers and no certificate.
 */
export async function openCertificates(options: WorkerCertificates, log: Log): Promise<OpenCertificates> {
  const { tlsCert: certificate, tlsKey: key, tlsClientCa, routerCa, routerTlsName: routerName } = options;
  if (tlsClientCa !== undefined && certificate === undefined) {
    throw new RangeError("the option tlsClientCa needs tlsCert and tlsKey: without TLS callers show no certificates");
  }
  const { server: callers, calls: routers, files } = await openBothEnds({ certificate, key, callers: tlsClientCa, called: routerCa });
  const timer = files.length > 0 ? setInterval(() => void reloadAll(files, log), lookMillis) : undefined;
  return { ...(callers && { callers }), routers, routerName, close: () => clearInterval(timer) };
}
