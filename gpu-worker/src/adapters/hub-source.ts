import { Failure } from "../failure.js";
import type { DiskCache } from "./disk-cache.js";
import type { HubClient } from "./hub-client.js";
import { hubRepository } from "./reference.js";
import { SharedTasks } from "./shared-tasks.js";
import type { AdapterFolder } from "./source.js";
import { TaskQueue } from "./task-queue.js";

/** Which repositories may be fetched: all, or those that match one of "org/repo" and "org/*". */
export type HubAllowance = true | readonly string[];

/** How a hub source works. */
export interface HubSourceOptions {
  readonly allow: HubAllowance;
  /** For how long a branch or tag keeps the commit that it was found to stand for, in milliseconds. Default: 60,000. */
  readonly revisionTtlMillis?: number;
  /** Now, in milliseconds. Default: the monotonic clock. */
  readonly now?: () => number;
}

/** Downloads at a time: they share one line, and each may need its whole size on disk before others are removed. */
const DOWNLOADS = 4;

interface KnownCommit {
  readonly commit: string;
  readonly untilMillis: number;
}

const isCommit = (revision: string): boolean => /^[0-9a-f]{40}$/.test(revision);

/**
 * Adapters at a Hugging Face hub, by "hf://org/repo". A revision may be a branch, a tag or a commit; found adapters
 * carry the commit. What was fetched once is served from disk, also while the hub is away.
 */
export class HubSource {
  private readonly client: HubClient;
  private readonly cache: DiskCache;
  private readonly options: HubSourceOptions;
  private readonly commits = new Map<string, KnownCommit>();
  private readonly fetches = new SharedTasks<AdapterFolder>();
  private readonly downloads = new TaskQueue(DOWNLOADS);

  constructor(client: HubClient, cache: DiskCache, options: HubSourceOptions) {
    this.client = client;
    this.cache = cache;
    this.options = options;
  }

  /** What is on disk. The hub is not asked. */
  async scan(): Promise<AdapterFolder[]> {
    return this.cache.entries();
  }

  /** Finds an adapter, and fetches it unless it is on disk. Callers of one adapter share one download. */
  async find(id: string, revision: string): Promise<AdapterFolder> {
    const repository = hubRepository(id);
    this.assertAllowed(repository);
    const commit = isCommit(revision) ? revision : await this.commitOf(repository, revision || "main");
    return this.fetches.run(`${id}@${commit}`, async () => {
      const cached = await this.cache.find(id, commit);
      if (cached) return cached;
      const added = await this.downloads.run(async () =>
        this.cache.add(id, commit, async (folder) => this.client.download(repository, commit, folder)),
      );
      return { ...added, fetched: true };
    });
  }

  /** Forgets an adapter whose files on disk are damaged, so that it is fetched again. */
  async discard({ id, revision }: AdapterFolder): Promise<void> {
    await this.cache.remove(id, revision);
  }

  private assertAllowed(repository: string): void {
    const { allow } = this.options;
    const [organisation] = repository.split("/");
    if (allow === true || allow.includes(repository) || allow.includes(`${organisation}/*`)) return;
    throw new Failure("ADAPTER_SOURCE_FORBIDDEN", `this worker may not fetch ${repository}; allow it with --allow-hub`, {
      metadata: { adapter: `hf://${repository}` },
    });
  }

  private async commitOf(repository: string, revision: string): Promise<string> {
    const key = `${repository}@${revision}`;
    const now = (this.options.now ?? (() => performance.now()))();
    const known = this.commits.get(key);
    if (known && now < known.untilMillis) return known.commit;
    try {
      const commit = await this.client.commitOf(repository, revision);
      this.remember(key, { commit, untilMillis: now + (this.options.revisionTtlMillis ?? 60_000) });
      return commit;
    } catch (error) {
      // An old answer is better than none while the hub is away.
      if (known && error instanceof Failure && error.reason === "ADAPTER_SOURCE_UNAVAILABLE") return known.commit;
      throw error;
    }
  }

  private remember(key: string, known: KnownCommit): void {
    this.commits.delete(key);
    this.commits.set(key, known);
    const [oldest] = this.commits.keys();
    if (this.commits.size > 10_000 && oldest !== undefined) this.commits.delete(oldest);
  }
}
