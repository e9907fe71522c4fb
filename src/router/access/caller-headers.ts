import type { Metadata } from "nice-grpc";
import type { CallHead } from "../relay/relay.js";
import type { TokenHolder } from "./token-issuer.js";

/**
 * How the relay tells the router's own services who calls, and where: credentials stay with it. All are always set, so no
 * client can send them in another's name.
 */
const clientHeader = "polygraft-client";
const tenantHeader = "polygraft-tenant";
const portHeader = "polygraft-port";

/** Headers that say who calls, and at which port of the router. */
export function callerHeaders({ client, tenant = "" }: TokenHolder, { port }: CallHead): Readonly<Record<string, string>> {
  return { [clientHeader]: client, [tenantHeader]: tenant, [portHeader]: String(port) };
}

/** The port at which the call came in, as the relay said. */
export function readPort(metadata: Metadata): number {
  return Number(metadata.get(portHeader) ?? 0);
}

/** Who calls, as the relay said. */
export function readCaller(metadata: Metadata): TokenHolder {
  const tenant = metadata.get(tenantHeader) ?? "";
  return { client: metadata.get(clientHeader) ?? "", tenant: tenant === "" ? undefined : tenant };
}
