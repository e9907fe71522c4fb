import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";

const folder = fileURLToPath(new URL("../../examples/python", import.meta.url));

/** The Python client that is an example. */
export const pythonExample = `${folder}/generate.py`;

/** The example's own environment, made on the first run; undefined where there is no Python. */
export function pythonWithGrpc(): string | undefined {
  try {
    execFileSync("python3", ["--version"], { stdio: "ignore" });
  } catch {
    return undefined;
  }
  execFileSync("make", ["-s", "-C", folder], { stdio: "inherit" });
  return `${folder}/.venv/bin/python`;
}
