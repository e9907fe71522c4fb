import { Tier } from "@polygraft/api";
import { Failure } from "../failure.js";
import { AdapterVersion } from "./adapter-version.js";
import { digestOf, readCard, stampOf, type AdapterCard, type Stamp } from "./content.js";
import type { HubSource } from "./hub-source.js";
import type { LocalSource } from "./local-source.js";
import { adapterNotFound, describeReference, isHubId, type AdapterReference } from "./reference.js";
import { SharedTasks } from "./shared-tasks.js";
import type { AdapterFolder } from "./source.js";

/** An adapter that is known by name. */
export interface CatalogEntry {
  readonly folder: AdapterFolder;
  readonly card: AdapterCard;
  /** Its content, once that was read. */
  readonly version: AdapterVersion | undefined;
}

/** What a reference stands for. */
export interface Resolved {
  readonly version: AdapterVersion;
  /** Where it was when it was asked for. */
  readonly tier: Tier;
}

/** What the catalog tells its owner. */
export interface CatalogEvents {
  /** An entry is new, is gone, or has changed. */
  changed(key: string): void;
  /** A name stands for another content now, or for none. */
  superseded(version: AdapterVersion): void;
}

/** Where adapters come from. */
export interface AdapterSources {
  /** Folders, asked in order: the first that has a name wins. */
  readonly local: readonly LocalSource[];
  /** Absent: "hf://" references are refused. */
  readonly hub?: HubSource | undefined;
}

/** Looks at files that cannot be read, before they are given up. */
const READ_ATTEMPTS = 3;
const RETRY_MILLIS = 500;

/** Names of adapters, and the content that each stands for at present. */
export class Catalog {
  private readonly sources: AdapterSources;
  private readonly events: CatalogEvents;
  private readonly entries = new Map<string, CatalogEntry>();
  private readonly readings = new SharedTasks<AdapterVersion>();
  private readonly scans = new SharedTasks<void>();

  constructor(sources: AdapterSources, events: CatalogEvents) {
    this.sources = sources;
    this.events = events;
  }

  /** Keys of all entries: "id" or "id@revision". */
  keys(): Iterable<string> {
    return this.entries.keys();
  }

  get(key: string): CatalogEntry | undefined {
    return this.entries.get(key);
  }

  /** Whether another revision of an id is known. */
  hasId(id: string): boolean {
    for (const { folder } of this.entries.values()) if (folder.id === id) return true;
    return false;
  }

  /** Keys of all revisions of an id. */
  keysOf(id: string): string[] {
    return [...this.entries].filter(([, { folder }]) => folder.id === id).map(([key]) => key);
  }

  /** Looks through all sources for what is new, changed or gone. Calls at once share one scan. */
  async rescan(): Promise<void> {
    await this.scans.run("", async () => this.scan());
  }

  /**
   * The content that a reference stands for now. Files that changed since they were read are read again; a folder
   * dropped in is found. Rejects if there is none, or if it does not have the digest asked for.
   */
  async resolve(reference: AdapterReference): Promise<Resolved> {
    const folder = await this.find(reference);
    const version = await this.current(folder);
    if (reference.digest === "" || reference.digest === version.digest) {
      return { version, tier: folder.fetched ? Tier.SOURCE : version.tier };
    }
    const name = describeReference(reference);
    const message = `adapter ${name} has the digest ${version.digest}, not ${reference.digest}`;
    throw new Failure("ADAPTER_DIGEST_MISMATCH", message, { metadata: { adapter: name, digest: version.digest } });
  }

  private async find(reference: AdapterReference): Promise<AdapterFolder> {
    const { id, revision } = reference;
    if (isHubId(id)) {
      if (this.sources.hub) return this.sources.hub.find(id, revision);
      throw new Failure("ADAPTER_SOURCE_FORBIDDEN", "this worker fetches no adapters from a hub; start it with --allow-hub", {
        metadata: { adapter: id },
      });
    }
    for (const source of this.sources.local) {
      const folder = await source.find(id, revision);
      if (folder) return folder;
    }
    this.forget(describeReference(reference));
    throw adapterNotFound(reference, "no folder of that name with a PEFT adapter is below --adapters");
  }

  /** The version of a folder's files as they are now. */
  private async current(folder: AdapterFolder): Promise<AdapterVersion> {
    const key = describeReference(folder);
    return this.readings.run(key, async () => {
      for (let attempt = 1; ; attempt++) {
        const stamp = await stampOf(folder.directory).catch(() => undefined);
        if (stamp === undefined) {
          this.forget(key);
          throw adapterNotFound(folder, "its files are gone");
        }
        const known = this.entries.get(key)?.version;
        const same = known?.folder.directory === folder.directory;
        if (same && known.stamp === stamp) return known;
        try {
          return await this.read(key, folder, stamp, same ? known : undefined);
        } catch (error) {
          // The files may have gone, or been replaced, since the stamp was taken: look again.
          if (error instanceof Failure || attempt === READ_ATTEMPTS) throw asSourceFailure(key, error);
        }
      }
    });
  }

  private async read(key: string, folder: AdapterFolder, stamp: Stamp, known?: AdapterVersion): Promise<AdapterVersion> {
    const [digest, card] = await Promise.all([digestOf(folder.directory), readCard(folder.directory)]);
    if (folder.digest !== undefined && folder.digest !== digest) {
      await this.sources.hub?.discard(folder);
      throw new Failure("ADAPTER_CORRUPT", `${folder.source} is damaged on disk; the next request fetches it again`, {
        metadata: { adapter: key },
      });
    }
    if (known?.digest === digest) {
      known.stamp = stamp; // touched, but not changed
      return known;
    }
    const version = new AdapterVersion(folder, digest, stamp, card);
    const before = this.entries.get(key)?.version;
    this.entries.set(key, { folder, card, version });
    if (before) {
      version.pinned = before.pinned;
      this.supersede(before);
    }
    this.events.changed(key);
    return version;
  }

  private async scan(): Promise<void> {
    const scanned = await Promise.all([...this.sources.local, this.sources.hub].map(async (source) => source?.scan() ?? []));
    const found = new Map<string, AdapterFolder>();
    for (const folder of scanned.flat()) {
      const key = describeReference(folder);
      if (!found.has(key)) found.set(key, folder);
    }
    for (const key of this.entries.keys()) if (!found.has(key)) this.forget(key);
    for (const [key, folder] of found) {
      // Files that were read are looked at again; others are read when they are first used.
      if (this.entries.get(key)?.version) await this.current(folder).catch(() => {});
      else await this.note(key, folder);
    }
  }

  private async note(key: string, folder: AdapterFolder): Promise<void> {
    if (this.entries.has(key)) return;
    const card = await readCard(folder.directory);
    if (this.entries.has(key)) return; // a request was faster
    this.entries.set(key, { folder, card, version: undefined });
    this.events.changed(key);
  }

  private forget(key: string): void {
    const entry = this.entries.get(key);
    if (!entry) return;
    this.entries.delete(key);
    if (entry.version) this.supersede(entry.version);
    this.events.changed(key);
  }

  private supersede(version: AdapterVersion): void {
    version.superseded = true;
    version.pinned = false;
    this.events.superseded(version);
  }
}

/** Why files could not be read. Names the system's reason, but no path of this machine. */
function asSourceFailure(key: string, error: unknown): unknown {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  if (error instanceof Failure || typeof code !== "string") return error;
  return new Failure("ADAPTER_SOURCE_UNAVAILABLE", `the files of adapter ${key} cannot be read (${code})`, {
    metadata: { adapter: key },
    retryAfterMillis: RETRY_MILLIS,
    cause: error,
  });
}
