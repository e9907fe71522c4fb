import type { AdapterIdentity } from "@polygraft/api";
import type { Engine } from "../engine/engine.js";
import type { AdapterUse } from "./adapter-use.js";
import type { AdapterVersion } from "./adapter-version.js";
import { identityOf } from "./describe.js";

/** A request that follows a name: where it runs, until it has ended. */
export interface Following {
  /** Slot in the engine. */
  readonly slot: number;
  /** The content that was attached at a slot, if this request came to have it. */
  identityAt(slot: number): AdapterIdentity | undefined;
  /** The request has ended. Call once. */
  leave(): void;
}

/** Requests that began with one version of a name, in a slot of their own: what it has can be replaced under them. */
class Group {
  readonly slot: number;
  version: AdapterVersion;
  readonly members = new Set<AdapterUse>();
  readonly identities = new Map<number, AdapterIdentity>();

  constructor(slot: number, version: AdapterVersion) {
    this.slot = slot;
    this.version = version;
  }
}

/**
 * Requests that named an adapter and neither revision nor digest: they can be moved to another content of that name while
 * they run. The others run in the slot of their version itself, which never changes.
 */
export class Followers {
  private readonly engine: Engine;
  private readonly groups = new Map<string, Set<Group>>();

  constructor(engine: Engine) {
    this.engine = engine;
  }

  /** Takes a request in that runs with a version at `slot`. Its use ends when it leaves. */
  join(use: AdapterUse, slot: number): Following {
    const { version } = use;
    const { id } = version.folder;
    const groups = this.groups.get(id) ?? new Set();
    let group = [...groups].find((known) => known.version === version);
    if (!group) {
      group = new Group(this.engine.aliasAdapter(slot), version);
      this.groups.set(id, groups.add(group));
    }
    const joined = group;
    joined.members.add(use);
    return {
      slot: joined.slot,
      identityAt: (attached) => joined.identities.get(attached),
      leave: () => this.leave(id, joined, use),
    };
  }

  /** Moves all that run with other contents of the version's name to it. It is on the device, at `slot`. */
  moveTo(version: AdapterVersion, slot: number): void {
    for (const group of this.groups.get(version.folder.id) ?? []) {
      if (group.version === version) continue;
      this.engine.replaceAdapter(group.slot, slot);
      group.identities.set(slot, identityOf(version));
      group.version = version;
      for (const use of group.members) use.moveTo(version);
    }
  }

  private leave(id: string, group: Group, use: AdapterUse): void {
    use.end();
    if (!group.members.delete(use) || group.members.size > 0) return;
    this.engine.detachAdapter(group.slot);
    const groups = this.groups.get(id);
    groups?.delete(group);
    if (groups?.size === 0) this.groups.delete(id);
  }
}
