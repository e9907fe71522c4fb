import type { Engine, HostAdapter } from "../engine/engine.js";
import type { AdapterVersion } from "./adapter-version.js";
import { stampOf } from "./content.js";
import { Recency } from "./recency.js";
import { TaskQueue } from "./task-queue.js";

/** The files changed between the taking of their digest and their being read. */
export class ContentChanged extends Error {
  override readonly name = "ContentChanged";
}

/**
 * Adapters in host memory, checked against the model. When they have more than `maxBytes` together, those not used for
 * the longest time are closed; their copies on the device stay.
 */
export class HostTier {
  private readonly engine: Engine;
  private readonly maxBytes: number;
  private readonly changed: (version: AdapterVersion) => void;
  private readonly open = new Recency<AdapterVersion>();
  /** One at a time: what is being read is not counted yet. */
  private readonly reads = new TaskQueue(1);
  private bytes = 0;

  constructor(engine: Engine, maxBytes: number, changed: (version: AdapterVersion) => void) {
    this.engine = engine;
    this.maxBytes = maxBytes;
    this.changed = changed;
  }

  /** The host copy of a version, read if need be. It may be closed at the next call of `load`. */
  async load(version: AdapterVersion): Promise<HostAdapter> {
    const host = version.host ?? (await this.reads.run(async () => version.host ?? this.read(version)));
    this.open.use(version);
    this.trim(version);
    return host;
  }

  /** Closes the host copy, if there is one. A parked version keeps it: its requests cannot go on without. */
  drop(version: AdapterVersion): void {
    if (!version.host || version.parked) return;
    this.bytes -= version.host.hostBytes;
    version.host.close();
    version.host = undefined;
    this.open.delete(version);
    this.changed(version);
  }

  private async read(version: AdapterVersion): Promise<HostAdapter> {
    const { directory } = version.folder;
    const [opened] = await Promise.allSettled([this.engine.openAdapter(directory)]);
    // Whatever came of it, it says nothing about this version if the files are others by now.
    if ((await stampOf(directory).catch(() => "")) !== version.stamp) {
      if (opened.status === "fulfilled") opened.value.close();
      throw new ContentChanged(`${version.folder.source} changed while it was being read`);
    }
    if (opened.status === "rejected") throw opened.reason;
    const host = opened.value;
    version.host = host;
    version.deviceBytes = host.deviceBytes;
    this.bytes += host.hostBytes;
    this.changed(version);
    return host;
  }

  private trim(keep: AdapterVersion): void {
    for (const version of this.open) {
      if (this.bytes <= this.maxBytes) return;
      if (version !== keep) this.drop(version);
    }
  }
}
