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

/** Makes it anew. `install` runs `pip install` with arguments of its own, as often as it needs to. */
export async function installEnvironment(
  { folder, python }: Environment,
  install: (pip: (...args: readonly string[]) => Promise<void>) => Promise<void>,
): Promise<void> {
  await rm(folder, { recursive: true, force: true });
  await run("python3", ["-m", "venv", folder]);
  await install(async (...args) => {
    await run(python, ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", ...args]);
  });
  await run("touch", [join(folder, "installed")]);
}

/** What an installed package requires, without its extras. */
export async function requirementsOf({ python }: Environment, name: string): Promise<string[]> {
  const script = "import importlib.metadata, sys; print(*importlib.metadata.requires(sys.argv[1]), sep='\\n')";
  const lines = await run(python, ["-c", script, name]);
  return lines.trim().split("\n").filter((line) => !line.includes("extra =="));
}

/** An interrupted installation does not count. */
export function isInstalled({ folder }: Environment): Promise<boolean> {
  return access(join(folder, "installed")).then(() => true, () => false);
}
