// Fails when the committed generated code is not what `npm run generate` makes of proto/.
import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";

const fresh = mkdtempSync(join(tmpdir(), "polygraft-generated-"));
const files = (root) =>
  readdirSync(root, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(root, join(entry.parentPath, entry.name)))
    .toSorted();

try {
  execFileSync("buf", ["generate", "-o", fresh], { stdio: "inherit" });
  execFileSync("buf", ["build", "-o", join(fresh, "polygraft.binpb")], { stdio: "inherit" });
  const pairs = [[join(fresh, "src/api/generated"), "src/api/generated"]];
  const stale = [];
  for (const [made, committed] of pairs) {
    const names = new Set([...files(made), ...files(committed)]);
    for (const name of names) {
      const read = (root) => {
        try {
          return readFileSync(join(root, name), "utf8");
        } catch {
          return undefined;
        }
      };
      if (read(made) !== read(committed)) stale.push(join(committed, name));
    }
  }
  if (!readFileSync(join(fresh, "polygraft.binpb")).equals(readFileSync("src/api/polygraft.binpb"))) {
    stale.push("src/api/polygraft.binpb");
  }
  if (stale.length > 0) {
    console.error(`Generated code is stale; run \`npm run generate\` and commit:\n  ${stale.join("\n  ")}`);
    process.exitCode = 1;
  } else {
    console.log("generated code is fresh");
  }
} finally {
  rmSync(fresh, { recursive: true, force: true });
}
