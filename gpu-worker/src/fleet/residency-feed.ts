import type { Adapter, ResidencyUpdate } from "@polygraft/api";
import { splitRevision } from "../adapters/reference.js";
import type { ResidencyLog } from "./residency-log.js";

/** What a feed asks of the adapters. */
export interface AdapterListing {
  /** Keys of all adapters known. */
  keys(): string[];
  /** Keys of all revisions of an id. */
  keysOf(id: string): string[];
  /** The adapter of a key, or undefined if there is none any more. */
  describe(key: string): Adapter | undefined;
}

/** Adapters in one message, so that messages stay small however many adapters there are. */
const PART = 256;

/** What one router has to hear of the adapters: all of them or what it has missed at first, then what changes. */
export class ResidencyFeed {
  private readonly adapters: AdapterListing;
  private readonly log: ResidencyLog;
  private readonly part: number;
  /** The router has been told of the changes up to this number. */
  private told = 0;

  constructor(adapters: AdapterListing, log: ResidencyLog, part = PART) {
    this.adapters = adapters;
    this.log = log;
    this.part = part;
  }

  /** Whether something has changed. */
  get hasChanges(): boolean {
    return this.told < this.log.last;
  }

  /** The first messages of a stream, at least one: what came after that number, or else a snapshot. */
  *begin(resumeAfter: bigint | undefined): Generator<ResidencyUpdate> {
    if (resumeAfter === undefined || !this.log.has(Number(resumeAfter))) return yield* this.snapshot();
    this.told = Number(resumeAfter);
    do yield* this.changes();
    while (this.hasChanges);
  }

  /** What has changed since it was last asked for: one part of it, or everything if that was too long ago. */
  *changes(): Generator<ResidencyUpdate> {
    if (!this.log.has(this.told)) return yield* this.snapshot();
    const { keys, upTo } = this.log.read(this.told, this.part);
    this.told = upTo;
    const gone = keys.filter((key) => this.adapters.describe(key) === undefined).map((key) => splitRevision(key).id);
    const removedIds = [...new Set(gone)];
    // Ids are removed as a whole, so the revisions that are left are told again.
    const due = new Set([...keys, ...removedIds.flatMap((id) => this.adapters.keysOf(id))]);
    const adapters = this.describe([...due]);
    yield { snapshot: false, complete: !this.hasChanges, adapters, removedIds, number: BigInt(upTo) };
  }

  /** Everything, in parts; at least one. Changes from now on come after. */
  private *snapshot(): Generator<ResidencyUpdate> {
    this.told = this.log.last;
    const number = BigInt(this.told);
    const keys = this.adapters.keys();
    const parts = Math.max(1, Math.ceil(keys.length / this.part));
    for (let part = 0; part < parts; part++) {
      const adapters = this.describe(keys.slice(part * this.part, (part + 1) * this.part));
      yield { snapshot: true, complete: part === parts - 1, adapters, removedIds: [], number };
    }
  }

  private describe(keys: readonly string[]): Adapter[] {
    return keys.map((key) => this.adapters.describe(key)).filter((adapter) => adapter !== undefined);
  }
}
