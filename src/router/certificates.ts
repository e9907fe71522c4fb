import { lookMillis, openBothEnds, reloadAll } from "@polygraft/tls";
import type { Log } from "./log.js";
import type { RelayTls } from "./relay/relay-tls.js";
import type { Timers } from "./timers.js";

/** Files in PEM with which a router speaks TLS. All are read again when they change. */
export interface RouterCertificates {
  /** The router's certificate and those that lead to its authority: clients must then speak TLS. Workers that ask are shown it, too. */
  readonly tlsCert?: string | undefined;
  /** The key of that certificate, unencrypted. */
  readonly tlsKey?: string | undefined;
  /** Authorities: only who has a certificate of theirs may connect, workers that join included. Default: everybody may. */
  readonly tlsClientCa?: string | undefined;
  /** Authorities of the workers' certificates. Workers must then speak TLS. Default: those that Node trusts, where a worker does. */
  readonly workerCa?: string | undefined;
  /** Name that workers' certificates must have. Default: the host of the worker's address. */
  readonly workerTlsName?: string | undefined;
}

/**
 * Opens the certificate files of a router and looks at them again and again, until `close`.
 *
 * @throws TlsFileError if one cannot be used, Error if there are authorities of clients and no certificate.
 */
export async function openCertificates(options: RouterCertificates, timers: Timers, log: Log): Promise<RelayTls & { close(): void }> {
  const { tlsCert: certificate, tlsKey: key, tlsClientCa, workerCa, workerTlsName: targetName } = options;
  if (tlsClientCa !== undefined && certificate === undefined) {
    throw new Error("tlsClientCa needs tlsCert and tlsKey: without TLS clients show no certificates");
  }
  const { server: clients, calls: targets, files } = await openBothEnds({ certificate, key, callers: tlsClientCa, called: workerCa });
  let cancel = () => {};
  const wait = () => {
    cancel = timers.after(lookMillis, () => {
      wait();
      void reloadAll(files, log);
    });
  };
  if (files.length > 0) wait();
  return { ...(clients === undefined ? {} : { clients }), targets, targetName, close: () => cancel() };
}
