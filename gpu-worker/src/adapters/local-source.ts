import { readdir, realpath, stat } from "node:fs/promises";
import { isAbsolute, join, relative, sep } from "node:path";
import { Failure } from "../failure.js";
import { CONFIG_FILE, WEIGHTS_FILE } from "./content.js";
import { describeReference, splitRevision } from "./reference.js";
import type { AdapterFolder } from "./source.js";

/** Levels of folders below the root that are looked at. */
const MAX_DEPTH = 6;
/** Folders that one scan looks at, so that a root such as "/" does not keep it busy for ever. */
const MAX_FOLDERS = 200_000;

/**
 * Adapters below a folder: every PEFT folder is one, named by its path from the root with "/". A folder "name@v2" is
 * version "v2" of "name". Links may point anywhere below the root and nowhere else.
 */
export class LocalSource {
  private readonly root: string;

  private constructor(root: string) {
    this.root = root;
  }

  /** Opens a root. Rejects if it is no folder. */
  static async open(root: string): Promise<LocalSource> {
    const real = await realpath(root);
    if (!(await stat(real)).isDirectory()) throw new Error(`${root} is no folder`);
    return new LocalSource(real);
  }

  /** All adapters, in no particular order. Folders that cannot be read, or lie outside, are left out. */
  async scan(): Promise<AdapterFolder[]> {
    const found: AdapterFolder[] = [];
    const visited = new Set<string>();
    let level = [""];
    for (let depth = 0; depth <= MAX_DEPTH && level.length > 0; depth++) {
      const below: string[] = [];
      for (const name of level) {
        const folder = name === "" ? undefined : await this.open(name).catch(() => undefined);
        if (folder) found.push(folder);
        else if (await this.isNew(name, visited)) below.push(...(await this.children(name)));
        if (visited.size > MAX_FOLDERS) return found;
      }
      level = below;
    }
    return found;
  }

  /**
   * The adapter of that name, or undefined. Without a revision the unversioned folder is meant, else the version that
   * sorts last ("v10" after "v9"). Refuses names that lead out of the root.
   */
  async find(id: string, revision: string): Promise<AdapterFolder | undefined> {
    assertInside(id);
    assertInside(revision);
    if (id.split("/").some((part) => part === "" || part === ".")) return undefined;
    const exact = await this.open(describeReference({ id, revision }));
    if (exact || revision !== "") return exact;
    const latest = await this.latest(id);
    return latest === undefined ? undefined : this.open(`${id}@${latest}`);
  }

  /** Whether a folder below the root is looked at for the first time: links can make circles. */
  private async isNew(name: string, visited: Set<string>): Promise<boolean> {
    const real = await resolveOrUndefined(join(this.root, name));
    if (real === undefined || visited.has(real) || !this.isBelowRoot(real)) return false;
    visited.add(real);
    return true;
  }

  private async latest(id: string): Promise<string | undefined> {
    const slash = id.lastIndexOf("/");
    const siblings = await this.children(id.slice(0, Math.max(0, slash)));
    const versions = siblings.map(splitRevision).filter((name) => name.id === id && name.revision !== "");
    return versions.map(({ revision }) => revision).sort(new Intl.Collator("en", { numeric: true }).compare).at(-1);
  }

  private async children(name: string): Promise<string[]> {
    const entries = await readdir(join(this.root, name), { withFileTypes: true }).catch(() => []);
    return entries
      .filter((entry) => (entry.isDirectory() || entry.isSymbolicLink()) && !entry.name.startsWith("."))
      .map((entry) => (name === "" ? entry.name : `${name}/${entry.name}`));
  }

  private async open(name: string): Promise<AdapterFolder | undefined> {
    const directory = await resolveOrUndefined(join(this.root, name));
    if (directory === undefined) return undefined;
    this.assertBelowRoot(directory, name);
    const files = await Promise.all(
      [CONFIG_FILE, WEIGHTS_FILE].map(async (file) => resolveOrUndefined(join(directory, file))),
    );
    if (files.includes(undefined)) return undefined;
    for (const file of files) this.assertBelowRoot(file as string, name);
    return { ...splitRevision(name), directory, source: `file:${name}` };
  }

  private isBelowRoot(path: string): boolean {
    const rest = relative(this.root, path);
    return rest !== ".." && !rest.startsWith(`..${sep}`) && !isAbsolute(rest);
  }

  private assertBelowRoot(path: string, name: string): void {
    if (!this.isBelowRoot(path)) {
      throw new Failure("ADAPTER_SOURCE_FORBIDDEN", `adapter ${JSON.stringify(name)} is a link out of the adapter folder`, {
        metadata: { adapter: name },
      });
    }
  }
}

function assertInside(name: string): void {
  const escapes = name.startsWith("/") || name.includes("\\") || name.split("/").includes("..");
  if (escapes) {
    throw new Failure("ADAPTER_SOURCE_FORBIDDEN", `${JSON.stringify(name)} leads out of the adapter folder; use the adapter's name`, {
      metadata: { adapter: name },
    });
  }
}

async function resolveOrUndefined(path: string): Promise<string | undefined> {
  try {
    return await realpath(path);
  } catch {
    return undefined; // missing, a dangling link, a loop of links, or not readable: no adapter
  }
}
