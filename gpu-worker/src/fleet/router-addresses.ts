import { lookup } from "node:dns/promises";
import { isIP } from "node:net";

/** All addresses that a host name has now. */
export type Resolve = (host: string) => Promise<readonly string[]>;

/** As the system resolves names: hosts file, search domains and all. */
export const systemResolve: Resolve = async (host) => (await lookup(host, { all: true })).map(({ address }) => address);

/** The host of "host:port" or "https://host:port", without the brackets of an IPv6 address. */
export function hostOf(target: string): string {
  return partsOf(target).host.replace(/^\[(.*)\]$/, "$1");
}

/** Whether a target is a name, which may stand for several routers, and for others later. */
export function isName(target: string): boolean {
  return isIP(hostOf(target)) === 0;
}

/**
 * The routers behind a name, as targets with an address each. Of the two families only one is taken, the larger one: behind the other
 * are the same routers, and a router knows a worker only once. A name that has one address of each, as "localhost" has, is
 * left to gRPC, which tries both; unless it has had several, `severalBefore`.
 */
export function routersBehind(target: string, addresses: readonly string[], severalBefore: boolean): string[] {
  const { scheme, port } = partsOf(target);
  const distinct = [...new Set(addresses)];
  const v4 = distinct.filter((address) => isIP(address) === 4);
  const v6 = distinct.filter((address) => isIP(address) === 6);
  if (v4.length === 1 && v6.length === 1 && !severalBefore) return [target];
  return v6.length > v4.length ? v6.map((address) => `${scheme}[${address}]:${port}`) : v4.map((address) => `${scheme}${address}:${port}`);
}

/** A target's host with another port. */
export function atPort(target: string, port: number): string {
  const { scheme, host } = partsOf(target);
  return `${scheme}${host}:${port}`;
}

function partsOf(target: string): { readonly scheme: string; readonly host: string; readonly port: string } {
  const [, scheme = "", host = "", port = ""] = /^(https?:\/\/)?(.*):(\d+)$/.exec(target) ?? [];
  return { scheme, host, port };
}
