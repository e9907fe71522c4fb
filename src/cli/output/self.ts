import { basename, relative } from "node:path";

/** How to call this program again from here: "polygraft" where it is installed, "node …/main.js" in a checkout. */
export function self(script: string = process.argv[1] ?? "", cwd: string = process.cwd()): string {
  return basename(script) === "polygraft" ? "polygraft" : `node ${relative(cwd, script)}`;
}
