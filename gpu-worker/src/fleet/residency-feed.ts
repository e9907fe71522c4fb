import type { Adapter, ResidencyUpdate } from "@polygraft/api";
import type { AdapterStore } from "../adapters/store.js";
import { splitRevision } from "../adapters/reference.js";

/** Adapters in one message, so that messages stay small however many adapters there are. */
const PART = 256;

/** What one router has to hear of the adapters: all of them at first, then what has changed since. */
export class ResidencyFeed {
  private readonly adapters: AdapterStore;
  private readonly changed = new Set<string>();
  private readonly unsubscribe: () => void;

  /** `wake` is called when there is something new. */
  constructor(adapters: AdapterStore, wake: () => void) {
    this.adapters = adapters;
    this.unsubscribe = adapters.subscribe((key) => {
      this.changed.add(key);
      wake();
    });
  }

  /** Whether something has changed. */
  get hasChanges(): boolean {
    return this.changed.size > 0;
  }

  /** Everything, in parts; at least one. Changes from now on come after. */
  *snapshot(): Generator<ResidencyUpdate> {
    this.changed.clear();
    const keys = this.adapters.keys();
    const parts = Math.max(1, Math.ceil(keys.length / PART));
    for (let part = 0; part < parts; part++) {
      const adapters = this.describe(keys.slice(part * PART, (part + 1) * PART));
      yield { snapshot: true, complete: part === parts - 1, adapters, removedIds: [] };
    }
  }

  /** What has changed since it was last asked for, at most one message of it. */
  changes(): ResidencyUpdate {
    const keys = [...this.changed].slice(0, PART);
    for (const key of keys) this.changed.delete(key);
    const adapters = this.describe(keys);
    const gone = keys.filter((key) => this.adapters.describe(key) === undefined).map((key) => splitRevision(key).id);
    const removedIds = [...new Set(gone)].filter((id) => !this.adapters.hasId(id));
    return { snapshot: false, complete: true, adapters, removedIds };
  }

  stop(): void {
    this.unsubscribe();
  }

  private describe(keys: readonly string[]): Adapter[] {
    return keys.map((key) => this.adapters.describe(key)).filter((adapter) => adapter !== undefined);
  }
}
