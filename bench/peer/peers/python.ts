import { access, rm } from "node:fs/promises";
import { join } from "node:path";
import { run } from "../shell.js";

/** A Python environment for one peer. */
export interface Environment {
  readonly python: string;
  readonly folder: string;
}

export function environment(cache: string, name: string): Environment {
  const folder = join(cache, name);
  return { folder, python: join(folder, "bin/python") };
}

/** Makes it anew, with packages in each of the steps: arguments of `pip install`. */
export async function installEnvironment({ folder, python }: Environment, ...steps: readonly (readonly string[])[]): Promise<void> {
  await rm(folder, { recursive: true, force: true });
  await run("python3", ["-m", "venv", folder]);
  for (const step of steps) await run(python, ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", ...step]);
  await run("touch", [join(folder, "installed")]);
}

/** An interrupted installation does not count. */
export function isInstalled({ folder }: Environment): Promise<boolean> {
  return access(join(folder, "installed")).then(() => true, () => false);
}
