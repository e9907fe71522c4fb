import { join } from "node:path";
import type { AdapterSources } from "./adapters/catalog.js";
import { DiskCache } from "./adapters/disk-cache.js";
import { HubClient } from "./adapters/hub-client.js";
import { HubSource } from "./adapters/hub-source.js";
import { LocalSource } from "./adapters/local-source.js";
import type { ResolvedOptions } from "./options.js";

/** Larger than any adapter in use. */
const MAX_WEIGHT_BYTES = 4 * 1024 ** 3;

/** Opens the places that adapters come from. Rejects if a folder is not there. */
export async function openSources(options: ResolvedOptions): Promise<AdapterSources> {
  const local = await Promise.all(options.adapters.map(async (folder) => LocalSource.open(folder)));
  return { local, hub: openHub(options) };
}

function openHub({ allowHub, hubUrl, hubToken, hubCacheBytes, cacheDir }: ResolvedOptions): HubSource | undefined {
  if (allowHub === undefined) return undefined;
  const client = new HubClient({ url: hubUrl, accessToken: hubToken, maxWeightBytes: Math.min(hubCacheBytes, MAX_WEIGHT_BYTES) });
  return new HubSource(client, new DiskCache(join(cacheDir, "adapters"), hubCacheBytes), { allow: allowHub });
}
