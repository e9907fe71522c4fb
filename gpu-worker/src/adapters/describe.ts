import { Tier, type Adapter, type AdapterIdentity } from "@polygraft/api";
import type { AdapterVersion } from "./adapter-version.js";
import type { CatalogEntry } from "./catalog.js";

/** Name, version and digest of a content. */
export function identityOf({ folder, digest }: AdapterVersion): AdapterIdentity {
  return { id: folder.id, revision: folder.revision, digest };
}

/** An entry as the contract describes it, with its place on this worker. */
export function describeAdapter(worker: string, { folder, card, version }: CatalogEntry): Adapter {
  return {
    identity: { id: folder.id, revision: folder.revision, digest: version?.digest ?? "" },
    baseModel: card.baseModel,
    rank: version?.host?.rank ?? card.rank,
    targetModules: [...(version?.host?.targetModules ?? card.targetModules)],
    bytes: BigInt(version?.deviceBytes ?? 0),
    source: folder.source,
    residency: [
      {
        worker,
        tier: version?.tier ?? Tier.SOURCE,
        pinned: version?.pinned ?? false,
        references: version?.references ?? 0,
        loadMicros: version?.loadMicros ?? 0,
      },
    ],
    error: version?.failure?.details ?? "",
  };
}
