import type { Metadata } from "nice-grpc";
import type { TokenHolder } from "./token-issuer.js";

/**
 * How the relay tells the router's own services who calls: credentials stay with it. Both are always set, so no client
 * can send them in another's name.
 */
const clientHeader = "polygraft-client";
const tenantHeader = "polygraft-tenant";

/** Headers that say who calls. */
export function callerHeaders({ client, tenant = "" }: TokenHolder): Readonly<Record<string, string>> {
  return { [clientHeader]: client, [tenantHeader]: tenant };
}

/** Who calls, as the relay said. */
export function readCaller(metadata: Metadata): TokenHolder {
  const tenant = metadata.get(tenantHeader) ?? "";
  return { client: metadata.get(clientHeader) ?? "", tenant: tenant === "" ? undefined : tenant };
}
