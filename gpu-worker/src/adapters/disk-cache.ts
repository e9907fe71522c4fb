import { createHash, randomUUID } from "node:crypto";
import { mkdir, readFile, readdir, rename, rm, stat, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { digestOf, CONFIG_FILE, WEIGHTS_FILE } from "./content.js";
import type { AdapterFolder } from "./source.js";

/** Written last into an entry: an entry without it does not exist. Its time of change tells the last use. */
const RECORD_FILE = "polygraft.json";
/** Unfinished entries. One older than this was left by a process that died. */
const STALE_MILLIS = 24 * 60 * 60 * 1000;

interface CacheRecord {
  readonly id: string;
  readonly revision: string;
  readonly digest: string;
}

interface CacheEntry extends CacheRecord {
  readonly directory: string;
  readonly bytes: number;
  readonly usedMillis: number;
}

/**
 * Fetched adapters on disk, one folder for each id and revision, beneath `directory`. Entries appear whole or not at
 * all (made aside, then renamed), so several workers can share the folder. When all entries together have more than
 * `maxBytes`, those that were not used for the longest time are removed.
 */
export class DiskCache {
  private readonly directory: string;
  private readonly maxBytes: number;
  private readonly now: () => Date;

  /** `now` is the time that uses are recorded with. */
  constructor(directory: string, maxBytes: number, now: () => Date = () => new Date()) {
    this.directory = directory;
    this.maxBytes = maxBytes;
    this.now = now;
  }

  /** All entries, as folders ready to be opened. Removes what died in the making. */
  async entries(): Promise<AdapterFolder[]> {
    await this.sweep();
    return (await this.all()).map(toFolder);
  }

  /** The entry of that id and revision, marked as used now. */
  async find(id: string, revision: string): Promise<AdapterFolder | undefined> {
    const entry = await readEntry(this.pathOf(id, revision));
    if (!entry) return undefined;
    await this.touch(entry.directory);
    return toFolder(entry);
  }

  /**
   * Makes an entry: `fill` writes the two files of the adapter into the folder given to it. If it fails, nothing is
   * left behind. Other entries may be removed to make room.
   */
  async add(id: string, revision: string, fill: (directory: string) => Promise<void>): Promise<AdapterFolder> {
    const making = join(this.directory, `.making-${randomUUID()}`);
    const target = this.pathOf(id, revision);
    await mkdir(making, { recursive: true });
    try {
      await fill(making);
      const record: CacheRecord = { id, revision, digest: await digestOf(making) };
      await writeFile(join(making, RECORD_FILE), JSON.stringify(record));
      // What stands there is either damaged or the work of a faster process, which has the same content.
      if (!(await readEntry(target))) await rm(target, { recursive: true, force: true });
      await rename(making, target).catch((error: NodeJS.ErrnoException) => {
        if (error.code !== "ENOTEMPTY" && error.code !== "EEXIST") throw error;
      });
    } finally {
      await rm(making, { recursive: true, force: true });
    }
    await this.touch(target);
    await this.trim(target);
    const entry = await readEntry(target);
    if (!entry) throw new Error(`the adapter cache lost ${id}@${revision} while it was being added`);
    return toFolder(entry);
  }

  /** Removes an entry, for one whose content turned out to be damaged. */
  async remove(id: string, revision: string): Promise<void> {
    await rm(this.pathOf(id, revision), { recursive: true, force: true });
  }

  private pathOf(id: string, revision: string): string {
    const key = createHash("sha256").update(`${id}\n${revision}`).digest("hex").slice(0, 32);
    return join(this.directory, key);
  }

  private async all(): Promise<CacheEntry[]> {
    const names = await readdir(this.directory).catch(() => []);
    const entries = await Promise.all(
      names.filter((name) => !name.startsWith(".")).map(async (name) => readEntry(join(this.directory, name))),
    );
    return entries.filter((entry) => entry !== undefined);
  }

  private async touch(directory: string): Promise<void> {
    const now = this.now();
    // Another worker may have removed the entry in the meantime; whoever opens it will see.
    await utimes(join(directory, RECORD_FILE), now, now).catch(() => {});
  }

  private async trim(keep: string): Promise<void> {
    const entries = (await this.all()).sort((a, b) => a.usedMillis - b.usedMillis);
    let total = entries.reduce((sum, { bytes }) => sum + bytes, 0);
    for (const entry of entries) {
      if (total <= this.maxBytes) return;
      if (entry.directory === keep) continue;
      await rm(entry.directory, { recursive: true, force: true });
      total -= entry.bytes;
    }
  }

  private async sweep(): Promise<void> {
    const names = await readdir(this.directory).catch(() => []);
    for (const name of names.filter((name) => name.startsWith(".making-"))) {
      const path = join(this.directory, name);
      const age = Date.now() - ((await stat(path).catch(() => undefined))?.mtimeMs ?? Date.now());
      if (age > STALE_MILLIS) await rm(path, { recursive: true, force: true });
    }
  }
}

async function readEntry(directory: string): Promise<CacheEntry | undefined> {
  try {
    const path = join(directory, RECORD_FILE);
    const record = JSON.parse(await readFile(path, "utf8")) as CacheRecord;
    const [used, config, weights] = await Promise.all(
      [path, join(directory, CONFIG_FILE), join(directory, WEIGHTS_FILE)].map(async (file) => stat(file)),
    );
    const bytes = (config?.size ?? 0) + (weights?.size ?? 0);
    return { ...record, directory, bytes, usedMillis: used?.mtimeMs ?? 0 };
  } catch {
    return undefined; // no entry, or one that is being removed
  }
}

function toFolder({ id, revision, digest, directory }: CacheEntry): AdapterFolder {
  return { id, revision, directory, digest, source: `${id}@${revision}` };
}
