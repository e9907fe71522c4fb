import type { FleetWorker, Polygraft } from "@polygraft/client";

/** How scarce places on the device were: means over what the router told, which it does at every change. */
export interface Pressure {
  /** Adapters that requests used at a time. */
  readonly inUse: number;
  /** Of them, those off the device: parked, or waiting for their first turn. */
  readonly offDevice: number;
}

/** Looks at the adapters in use until the signal is aborted. */
export async function watchPressure(client: Polygraft, signal: AbortSignal): Promise<Pressure> {
  let [inUse, offDevice, times] = [0, 0, 0];
  try {
    for await (const { workers } of client.fleet.watch({ residency: true, signal })) {
      const used = workers.flatMap(usedAdapters);
      inUse += used.length;
      offDevice += used.filter(({ tier }) => tier !== "device").length;
      times++;
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  }
  return { inUse: inUse / times, offDevice: offDevice / times };
}

function usedAdapters({ adapters }: FleetWorker) {
  return adapters.flatMap(({ residency }) => residency).filter(({ references }) => references > 0);
}
