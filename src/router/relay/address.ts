/**
 * Host and port of "host:port" or "[v6]:port".
 *
 * @throws RangeError if it is not of that form.
 */
export function splitAddress(address: string): { readonly host: string; readonly port: number } {
  const match = /^(?:\[([0-9A-Fa-f:.]+)\]|([^\s:[\]]+)):([0-9]{1,5})$/.exec(address);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  if (host === undefined || port > 65_535) {
    throw new RangeError(`${JSON.stringify(address)} is not an address: write "host:port" with a port of 0 to 65535`);
  }
  return { host, port };
}

/** "host:port", with brackets around an IPv6 address. */
export function formatAddress(host: string, port: number): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}
