import { randomUUID } from "node:crypto";
import { cp, mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";

/** Copies of each adapter. */
const copies = 3;

const config = "adapter_config.json";

/** A folder of adapters that come, go and change while a worker serves them. */
export class MovingAdapters {
  readonly folder: string;
  readonly names: readonly string[];
  readonly #source: string;
  #edition = 0;

  private constructor(folder: string, source: string, names: readonly string[]) {
    this.folder = folder;
    this.#source = source;
    this.names = names;
  }

  /** Copies the adapters of `source` into `folder`, several times each under names and digests of their own. */
  static async create(source: string, folder: string): Promise<MovingAdapters> {
    await mkdir(folder);
    const originals = await readdir(source);
    const names = originals.flatMap((name) => Array.from({ length: copies }, (_, copy) => `${name}-${copy + 1}`));
    const adapters = new MovingAdapters(folder, source, names);
    for (const name of names) await adapters.put(name);
    return adapters;
  }

  /** Puts another edition of an adapter in place of what is there: the same weights under another digest. */
  async put(name: string): Promise<void> {
    // Made aside and then moved, as files should be replaced that others read.
    const aside = join(this.folder, `.${randomUUID()}`);
    await cp(join(this.#source, name.replace(/-\d+$/, "")), aside, { recursive: true });
    await writeFile(join(aside, config), (await readFile(join(aside, config), "utf8")) + " ".repeat(++this.#edition));
    await rename(join(this.folder, name), `${aside}-old`).catch(() => {}); // it may be gone
    await rename(aside, join(this.folder, name)).catch(() => {}); // somebody else was faster
    await Promise.all([aside, `${aside}-old`].map((path) => rm(path, { recursive: true, force: true })));
  }

  /** Takes an adapter away. */
  async remove(name: string): Promise<void> {
    const aside = join(this.folder, `.${randomUUID()}`);
    await rename(join(this.folder, name), aside).catch(() => {});
    await rm(aside, { recursive: true, force: true });
  }
}
