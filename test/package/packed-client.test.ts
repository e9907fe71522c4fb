import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { accepted, delta, finished, serveScript } from "../support/scripted-service.js";

const run = promisify(execFile);
const root = fileURLToPath(new URL("../..", import.meta.url));
let folder: string;

/**
 * A folder with the packages as npm would install them: unpacked from their tarballs, and beside them nothing but
 * the dependencies that they declare. Nothing is fetched.
 */
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "polygraft-packed-"));
  for (const name of ["api", "placement", "client"]) {
    const { stdout } = await run("npm", ["pack", "--json", "--pack-destination", folder, "-w", `@polygraft/${name}`], { cwd: root });
    const [{ filename }] = JSON.parse(stdout.slice(stdout.indexOf("["))) as [{ filename: string }];
    const target = join(folder, "node_modules/@polygraft", name);
    await mkdir(target, { recursive: true });
    await run("tar", ["-xzf", join(folder, filename), "-C", target, "--strip-components=1"]);
    const manifest = JSON.parse(await readFile(join(target, "package.json"), "utf8")) as { dependencies: Record<string, string> };
    for (const dependency of Object.keys(manifest.dependencies).filter((it) => !it.startsWith("@polygraft/"))) {
      const link = join(target, "node_modules", dependency);
      await mkdir(dirname(link), { recursive: true });
      await symlink(join(root, "node_modules", dependency), link);
    }
  }
  await writeFile(join(folder, "package.json"), '{ "type": "module" }');
});

afterAll(() => rm(folder, { recursive: true, force: true }));

test("the packed client streams from a server", async () => {
  const server = await serveScript(async function* (request) {
    yield accepted(request.requestId);
    yield delta("packed", 1);
    yield finished(1);
  });
  await writeFile(
    join(folder, "stream.js"),
    `import { Polygraft, PolygraftError } from "@polygraft/client";
     const client = new Polygraft({ address: process.argv[2] });
     for await (const text of client.generate({ prompt: "x" }).textStream()) console.log(text);
     client.close();
     await client.generate({ prompt: "x" }).text().catch((error) => console.log(error instanceof PolygraftError, error.code));`,
  );
  const { stdout } = await run(process.execPath, [join(folder, "stream.js"), server.address]).finally(() => server.close());
  expect(stdout).toBe("packed\ntrue CLIENT_CLOSED\n");
});

test("the packed types resolve in a strict project", async () => {
  await writeFile(
    join(folder, "types.ts"),
    `import { Polygraft } from "@polygraft/client";
     import { TestServer } from "@polygraft/client/testing";
     import { GenerateRequest } from "@polygraft/api";
     export const server: Promise<TestServer> = TestServer.start(() => ["Hello"]);
     export const text: Promise<string> = new Polygraft().generate({ prompt: "x", temperature: 0 }).text();
     export const message: GenerateRequest = GenerateRequest.fromPartial({ model: "m" });
     // @ts-expect-error the types are there, so a wrong field is an error
     new Polygraft().generate({ prompt: "x", heat: 1 });`,
  );
  const flags = ["--noEmit", "--strict", "--module", "nodenext", "--target", "es2023", "--lib", "es2023,esnext.disposable"];
  const types = ["--types", "node", "--typeRoots", join(root, "node_modules/@types"), "--skipLibCheck"];
  const tsc = join(root, "node_modules/typescript/bin/tsc");
  await run(process.execPath, [tsc, ...flags, ...types, "types.ts"], { cwd: folder }).catch((error: { stdout: string }) => {
    expect.fail(error.stdout);
  });
});
