import { spawn } from "node:child_process";
import { text } from "node:stream/consumers";
import { afterAll, beforeAll, expect, test } from "vitest";
import { makeAuthority } from "../support/certificates.js";
import type { Authority, Issued } from "../support/certificates.js";
import { pythonExample, pythonWithGrpc } from "../support/python-example.js";
import { runCli, startCli } from "../support/run-cli.js";
import type { RunningCli } from "../support/run-cli.js";
import { temporaryFolder } from "../support/temporary-folder.js";
import { writeTinyFiles } from "../support/tiny-files.js";
import type { TinyFiles } from "../support/tiny-files.js";

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let files: TinyFiles;
let authority: Authority;
let client: Issued;
let router: RunningCli;
let worker: RunningCli;
let address: string;

/** Processes as the commands start them: every connection asks both ends for a certificate. */
beforeAll(async () => {
  folder = await temporaryFolder();
  files = await writeTinyFiles();
  authority = await makeAuthority(folder.path, "ca");
  client = await authority.issue("client");
  const [own, workers] = await Promise.all([authority.issue("router"), authority.issue("worker")]);
  const tls = (issued: Issued) => ["--tls-cert", issued.cert, "--tls-key", issued.key, "--tls-client-ca", authority.cert];
  router = startCli(["router", "--listen", "127.0.0.1:0", ...tls(own), "--worker-ca", authority.cert]);
  address = `https://${(await router.seen(/listening on (\S+)/))[1]}`;
  const joining = ["--join", address, "--router-ca", authority.cert, "--threads", "1", "--cache-dir", folder.path];
  worker = startCli(["worker", "--model", files.model, "--adapters", files.adapters, ...tls(workers), ...joining]);
  await worker.seen(/listening on/);
});

afterAll(async () => {
  for (const one of [worker, router]) one?.process.kill("SIGTERM");
  await Promise.all([worker?.result, router?.result]);
  await files?.remove();
  await folder?.[Symbol.asyncDispose]();
});

const connection = () => ["--router", address, "--tls-ca", authority.cert];
const identity = () => ["--tls-cert", client.cert, "--tls-key", client.key];

async function generate(...options: string[]): Promise<{ code: number | null; stdout: string; stderr: string }> {
  // The worker may still be on its way into the fleet.
  for (let tries = 0; ; tries++) {
    const answer = await runCli(["generate", ...connection(), ...identity(), "--max-tokens", "4", "--json", ...options, "hello"]);
    if (tries === 20 || !answer.stderr.includes("NO_WORKER")) return answer;
  }
}

test("the command generates with a certificate, and is told what is missing without", async () => {
  const adapter = files.names[0] ?? "";
  expect(await generate("--adapter", adapter)).toMatchObject({ code: 0, stdout: expect.stringContaining('"tokenIds"') });
  const listed = await runCli(["adapters", ...connection(), ...identity(), "--json"]);
  expect(listed.stdout).toContain(adapter);
  expect(await runCli(["generate", ...connection(), "--timeout", "2", "hello"])).toMatchObject({ code: 4 });
  const misused = await runCli(["generate", "--router", "127.0.0.1:1", "--tls-ca", authority.cert, "hello"]);
  expect(misused).toMatchObject({ code: 2, stderr: expect.stringContaining("--router https://HOST:PORT") });
  const missing = await runCli(["generate", "--router", address, "--tls-ca", "/nowhere.pem", "hello"]);
  expect(missing).toMatchObject({ code: 1, stderr: expect.stringContaining("/nowhere.pem cannot be read: ENOENT") });
  const unpaired = await runCli(["router", "--tls-cert", client.cert]);
  expect(unpaired).toMatchObject({ code: 1, stderr: expect.stringContaining(`the certificate ${client.cert} needs its key`) });
});

test("a plain client in Python gets the same", async (context) => {
  const python = pythonWithGrpc();
  if (python === undefined) return context.skip("python3 is missing");
  const adapter = files.names[0] ?? "";
  const expected = JSON.parse((await generate("--adapter", adapter)).stdout);
  const child = spawn(python, [pythonExample, ...connection(), ...identity(), "--json"], { stdio: ["pipe", "pipe", "inherit"] });
  child.stdin.end(JSON.stringify({ prompt: "hello", adapter, max_tokens: 4 }));
  expect(JSON.parse(await text(child.stdout))).toMatchObject({ text: expected.text, token_ids: expected.tokenIds });
}, 600_000);
