import type { ConnectionOptions } from "../client-options.js";
import { UsageError } from "../exit.js";

/** Certificate files, in PEM, of a router and its workers on one machine. All are optional: nothing is encrypted by default. */
export interface FleetTls {
  /** The router's certificate and the authorities of those who call it, as of `polygraft router`. */
  readonly tlsCert?: string | undefined;
  readonly tlsKey?: string | undefined;
  readonly tlsClientCa?: string | undefined;
  /** Authorities of the workers' certificates, and the name that these must have, as of `polygraft router`. */
  readonly workerCa?: string | undefined;
  readonly workerTlsName?: string | undefined;
  /** The certificate that all workers share and the authorities of those who call them: `--tls-…` of `polygraft worker`. */
  readonly workerTlsCert?: string | undefined;
  readonly workerTlsKey?: string | undefined;
  readonly workerTlsClientCa?: string | undefined;
  /** Authorities of the router's certificate, and the name that it must have, as of `polygraft worker`. */
  readonly routerCa?: string | undefined;
  readonly routerTlsName?: string | undefined;
}

/**
 * Finds options that cannot go together before any process starts: a router would go on refusing its workers, and the
 * start would never come to an end.
 *
 * @throws UsageError that names the options.
 */
export function checkFleetTls(tls: FleetTls): void {
  const needs = (option: keyof FleetTls, flag: string, wanted: readonly (keyof FleetTls)[], why: string): void => {
    if (tls[option] !== undefined && wanted.some((name) => tls[name] === undefined)) throw new UsageError(`${flag} needs ${why}`);
  };
  const ownCertificate = ["tlsCert", "tlsKey"] as const;
  const workerCertificate = ["workerTlsCert", "workerTlsKey"] as const;
  needs("tlsCert", "--tls-cert", ["tlsKey"], "--tls-key");
  needs("tlsKey", "--tls-key", ["tlsCert"], "--tls-cert");
  needs("workerTlsCert", "--worker-tls-cert", ["workerTlsKey"], "--worker-tls-key");
  needs("workerTlsKey", "--worker-tls-key", ["workerTlsCert"], "--worker-tls-cert");
  needs("tlsClientCa", "--tls-client-ca", ownCertificate, "--tls-cert and --tls-key: without TLS callers show no certificates");
  needs("tlsClientCa", "--tls-client-ca", workerCertificate, "--worker-tls-cert and --worker-tls-key: workers show them when they join");
  needs("workerCa", "--worker-ca", workerCertificate, "--worker-tls-cert and --worker-tls-key: workers must then speak TLS");
  needs("workerTlsClientCa", "--worker-tls-client-ca", workerCertificate, "--worker-tls-cert and --worker-tls-key");
  needs("workerTlsClientCa", "--worker-tls-client-ca", ownCertificate, "--tls-cert and --tls-key: the router shows them to workers");
  needs("routerCa", "--router-ca", ownCertificate, "--tls-cert and --tls-key: the router has no certificate to check");
  needs("routerTlsName", "--router-tls-name", ownCertificate, "--tls-cert and --tls-key: the router has no certificate to check");
}

/** The router's part of them, as options of `polygraft router`. */
export function routerTlsArguments({ tlsCert, tlsKey, tlsClientCa, workerCa, workerTlsName }: FleetTls): string[] {
  return argumentsOf({
    "--tls-cert": tlsCert,
    "--tls-key": tlsKey,
    "--tls-client-ca": tlsClientCa,
    "--worker-ca": workerCa,
    "--worker-tls-name": workerTlsName,
  });
}

/** The workers' part of them, as options of `polygraft worker`. */
export function workerTlsArguments({ workerTlsCert, workerTlsKey, workerTlsClientCa, routerCa, routerTlsName }: FleetTls): string[] {
  return argumentsOf({
    "--tls-cert": workerTlsCert,
    "--tls-key": workerTlsKey,
    "--tls-client-ca": workerTlsClientCa,
    "--router-ca": routerCa,
    "--router-tls-name": routerTlsName,
  });
}

/**
 * How a client on this machine reaches the router. Where the router asks for certificates it shows that of the workers:
 * the one certificate known here that the router lets in.
 *
 * @param address "host:port" where the router listens
 */
export function connectionTo(address: string, { tlsCert, tlsClientCa, workerTlsCert, workerTlsKey, routerCa, routerTlsName }: FleetTls): ConnectionOptions {
  if (tlsCert === undefined) return { router: address };
  return {
    router: `https://${address}`,
    ...(routerCa === undefined ? {} : { tlsCa: routerCa }),
    ...(routerTlsName === undefined ? {} : { tlsName: routerTlsName }),
    ...(tlsClientCa === undefined || workerTlsCert === undefined ? {} : { tlsCert: workerTlsCert }),
    ...(tlsClientCa === undefined || workerTlsKey === undefined ? {} : { tlsKey: workerTlsKey }),
  };
}

/** Options with their values; those without one are left out. */
export function argumentsOf(options: Readonly<Record<string, string | undefined>>): string[] {
  return Object.entries(options).flatMap(([flag, value]) => (value === undefined ? [] : [flag, value]));
}
