import type { ResolvedRouterOptions, RouterOptions } from "../options.js";

/** The part of a router's bounds that falls to each of its processes. Rounded up: together they are never below them. */
export function shareOf({ processes, maxStreams, maxQueue, relay }: ResolvedRouterOptions): Pick<RouterOptions, "maxStreams" | "maxQueue" | "relay"> {
  const part = (whole: number) => Math.ceil(whole / processes);
  const { maxHeldBytes, maxConnections } = relay;
  return {
    maxStreams: part(maxStreams),
    maxQueue: part(maxQueue),
    relay: { ...relay, maxHeldBytes: part(maxHeldBytes), maxConnections: part(maxConnections) },
  };
}
