/** What is hashed. */

/** What placement hashes for an adapter: its id, and its revision if one was asked for. */
export function adapterKey(adapter: { readonly id: string; readonly revision: string }): string {
  return adapter.revision === "" ? adapter.id : `${adapter.id}@${adapter.revision}`;
}

/** What placement hashes for a request: its routing key, else its adapter. Undefined: any worker is as good. */
export function placementKey(
  routingKey: string,
  adapter: { readonly id: string; readonly revision: string } | undefined,
): string | undefined {
  if (routingKey !== "") return routingKey;
  return adapter === undefined ? undefined : adapterKey(adapter);
}
