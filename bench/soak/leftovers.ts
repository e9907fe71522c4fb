import { PolygraftError } from "@polygraft/client";
import type { FleetWorker, Polygraft } from "@polygraft/client";

/** How long what was cancelled may take to be gone, in milliseconds. */
const graceMillis = 30_000;

/** Takes all adapters off the workers, and says what is left where nothing should be. Empty: nothing. */
export async function leftovers(client: Polygraft): Promise<string[]> {
  for await (const { identity } of client.adapters.list()) {
    try {
      // By name alone: the files may have changed since they were announced.
      await client.adapters.pin(identity.id, false);
      await client.adapters.unload(identity.id);
    } catch (error) {
      // Or they may have gone; the worker forgets such an adapter when it is asked for it.
      if (!(error instanceof PolygraftError) || error.code !== "ADAPTER_NOT_FOUND") throw error;
    }
  }
  let found: string[] = ["no word of the workers"];
  const end = AbortSignal.timeout(graceMillis);
  try {
    for await (const { workers } of client.fleet.watch({ residency: true, signal: end })) {
      found = workers.flatMap(remains);
      if (found.length === 0) return found;
    }
  } catch (error) {
    if (!end.aborted) throw error;
  }
  return found;
}

function remains({ name, load, adapters }: FleetWorker): string[] {
  const counts = {
    "running requests": load?.runningRequests,
    "waiting requests": load?.waitingRequests,
    "tokens in flight": load?.inFlightTokens,
    "KV blocks": load?.kvBlocksUsed,
    "bytes of adapters": load?.adapterBytesUsed === undefined ? undefined : Number(load.adapterBytesUsed),
    "uses of adapters": adapters.flatMap(({ residency }) => residency).reduce((sum, { references }) => sum + references, 0),
  };
  return Object.entries(counts).flatMap(([what, count]) => (count === 0 ? [] : [`${name}: ${count ?? "unknown"} ${what}`]));
}
