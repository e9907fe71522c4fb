import { rm } from "node:fs/promises";
import { join } from "node:path";
import { Polygraft } from "@polygraft/client";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { clientTls, makeAuthority } from "../support/certificates.js";
import type { Authority, Issued } from "../support/certificates.js";
import { runCli, startCli } from "../support/run-cli.js";
import { temporaryFolder } from "../support/temporary-folder.js";
import { writeTinyFiles } from "../support/tiny-files.js";
import type { TinyFiles } from "../support/tiny-files.js";

// Each test starts several processes; a busy machine takes its time over that.
vi.setConfig({ testTimeout: 240_000 });

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let files: TinyFiles;
let authority: Authority;
let router: Issued;
let worker: Issued;
beforeAll(async () => {
  folder = await temporaryFolder();
  files = await writeTinyFiles();
  authority = await makeAuthority(folder.path, "ca");
  [router, worker] = await Promise.all([authority.issue("router"), authority.issue("worker", "DNS:worker.polygraft")]);
});
afterAll(async () => {
  await files?.remove();
  await folder?.[Symbol.asyncDispose]();
});

const serving = () => ["--tls-cert", router.cert, "--tls-key", router.key, "--router-ca", authority.cert];
const start = (...options: string[]) =>
  startCli(["up", "--model", files.model, "--adapters", files.adapters, "--listen", "127.0.0.1:0", ...options]);

/** Runs `up` until it is ready; its router's address and the options with which it says to reach it. */
async function suggested(options: readonly string[], use: (address: string, reaching: string[]) => Promise<void>): Promise<void> {
  const up = start(...options);
  try {
    const [, address = ""] = await up.seen(/^ready: router on (\S+),/m);
    expect(address).toMatch(/^https:\/\/127\.0\.0\.1:\d+$/);
    const [, reaching = ""] = await up.seen(/^ {2}\S.*main\.js generate (.*) --adapter a0-r4 --max-tokens 32 "Hello"$/m);
    await use(address, reaching.split(" "));
  } finally {
    up.process.kill("SIGINT");
    expect((await up.result).code).toBe(0);
  }
}

const generate = (...reaching: string[]) => runCli(["generate", ...reaching, "--max-tokens", "2", "--timeout", "5", "--json", "Hello"]);

test("up with a certificate says how to reach it, and serves who does", async () => {
  await suggested(serving(), async (address, reaching) => {
    expect(reaching).toEqual(["--router", address, "--tls-ca", authority.cert]);
    expect(await generate(...reaching)).toMatchObject({ code: 0, stdout: expect.stringContaining('"tokenIds"') });
    expect(await generate("--router", address)).toMatchObject({ code: 4 });
    expect(await generate("--router", address.slice("https://".length))).toMatchObject({ code: 4 });
  });
});

test("up asks both ends of every connection for a certificate, of processes that share one by name, too", async () => {
  const own = ["--worker-tls-cert", worker.cert, "--worker-tls-key", worker.key, "--worker-tls-client-ca", authority.cert];
  const checks = ["--tls-client-ca", authority.cert, "--worker-ca", authority.cert, "--worker-tls-name", "worker.polygraft"];
  const name = ["--router-tls-name", "localhost"];
  const several = ["--workers", "2", "--router-processes", "2"];
  await suggested([...serving(), ...own, ...checks, ...name, ...several], async (address, reaching) => {
    const identity = ["--tls-cert", worker.cert, "--tls-key", worker.key];
    expect(reaching).toEqual(["--router", address, "--tls-ca", authority.cert, "--tls-name", "localhost", ...identity]);
    expect(await generate(...reaching)).toMatchObject({ code: 0, stdout: expect.stringContaining('"tokenIds"') });
    await using client = new Polygraft({ address, tls: { ...(await clientTls(authority, worker)), serverName: "localhost" } });
    for (const target of ["worker-1", "worker-2"]) {
      const result = await client.generate({ prompt: "Hello", maxTokens: 2, routing: { worker: target } }).final();
      expect(result.worker).toBe(target);
    }
    expect(await generate("--router", address, "--tls-ca", authority.cert)).toMatchObject({ code: 4 });
  });
});

test.each<[string, () => string[], string]>([
  ["workers that could not show a certificate", () => [...serving(), "--tls-client-ca", authority.cert], "--tls-client-ca needs --worker-tls-cert and --worker-tls-key"],
  ["workers that could not speak TLS", () => ["--worker-ca", authority.cert], "--worker-ca needs --worker-tls-cert and --worker-tls-key"],
  ["a router without TLS", () => ["--router-ca", authority.cert], "--router-ca needs --tls-cert and --tls-key"],
  ["a certificate without its key", () => ["--tls-cert", router.cert], "--tls-cert needs --tls-key"],
])("up does not wait for %s", async (_, options, message) => {
  const { code, stderr } = await start(...options()).result;
  expect({ code, stderr }).toMatchObject({ code: 2, stderr: expect.stringContaining(message) });
  expect(stderr).not.toContain("starting, process");
});

test("a certificate that cannot be read ends the start with its name", async () => {
  const gone = await authority.issue("gone");
  await rm(gone.key);
  const { code, stderr } = await start("--tls-cert", gone.cert, "--tls-key", gone.key).result;
  expect({ code, stderr }).toMatchObject({ code: 1, stderr: expect.stringContaining(`${join(folder.path, "gone.key")} cannot be read: ENOENT`) });
});
