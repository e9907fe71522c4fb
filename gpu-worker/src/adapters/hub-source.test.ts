import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { HubServer, type Fault } from "../../../test/support/hub-server.js";
import { temporaryFolder } from "../../../test/support/temporary-folder.js";
import { Failure, type Reason } from "../failure.js";
import { CONFIG_FILE, digestOf, WEIGHTS_FILE } from "./content.js";
import { DiskCache } from "./disk-cache.js";
import { HubClient, type HubClientOptions } from "./hub-client.js";
import { HubSource, type HubAllowance } from "./hub-source.js";

const COMMIT = "1".repeat(40);
const NEXT_COMMIT = "2".repeat(40);
const WEIGHTS = Buffer.alloc(100_000, 7);

let hub: HubServer;
let folder: Awaited<ReturnType<typeof temporaryFolder>>;
beforeEach(async () => {
  hub = await HubServer.start();
  folder = await temporaryFolder();
  publish("org/good", COMMIT);
});
afterEach(async () => {
  await hub.stop();
  await folder[Symbol.asyncDispose]();
});

function publish(name: string, commit: string, weights = WEIGHTS): void {
  const files = new Map([
    [CONFIG_FILE, Buffer.from('{"r": 4}')],
    [WEIGHTS_FILE, weights],
  ]);
  hub.repositories.set(name, { refs: { main: commit, v1: commit, [commit]: commit }, files });
}

interface Setup extends HubClientOptions {
  readonly allow?: HubAllowance;
  readonly maxBytes?: number;
  readonly now?: () => number;
}

let uses = 0;

function source({ allow = true, maxBytes = 1e9, now = () => 0, ...client }: Setup = {}): HubSource {
  const cache = new DiskCache(join(folder.path, "cache"), maxBytes, () => new Date(1000 * ++uses));
  return new HubSource(new HubClient({ url: hub.url, backoffMillis: 1, ...client }), cache, { allow, now });
}

async function reasonOf(work: Promise<unknown>): Promise<{ reason: Reason; message: string }> {
  const error: unknown = await work.then(() => undefined, (error: unknown) => error);
  if (!(error instanceof Failure)) throw new Error(`no failure but ${String(error)}`);
  return { reason: error.reason, message: error.message };
}

const downloads = (): string[] => hub.requests.filter((path) => path.includes("/resolve/"));

/** Answers what `path` matches with a status. */
const status = (path: RegExp, code: number): Fault => (request, response) => {
  if (!path.test(request.url ?? "")) return false;
  response.writeHead(code).end();
  return true;
};

/** Sends `bytes` of the weights and then ends as `end` says. */
const weightsOf = (bytes: Buffer, end: "cut" | "finish"): Fault => (request, response) => {
  if (!request.url?.endsWith(WEIGHTS_FILE) || request.headers.range) return false;
  response.writeHead(200, end === "cut" ? { "content-length": WEIGHTS.length } : {});
  response.write(bytes, () => {
    if (end === "cut") response.destroy();
    else response.end();
  });
  return true;
};

const leftovers = async (): Promise<string[]> => readdir(join(folder.path, "cache"));

describe("fetching", () => {
  test("writes both files, names the commit and the digest", async () => {
    const found = await source().find("hf://org/good", "");
    expect(found).toMatchObject({ id: "hf://org/good", revision: COMMIT, source: `hf://org/good@${COMMIT}` });
    expect(await readFile(join(found.directory, WEIGHTS_FILE))).toEqual(WEIGHTS);
    expect(found.digest).toBe(await digestOf(found.directory));
  });

  test("callers at once share one download, and later ones read the disk", async () => {
    const one = source();
    const found = await Promise.all(Array.from({ length: 8 }, async () => one.find("hf://org/good", "v1")));
    expect(new Set(found.map(({ directory }) => directory)).size).toBe(1);
    await source().find("hf://org/good", COMMIT);
    expect(downloads().filter((path) => path.endsWith(WEIGHTS_FILE))).toHaveLength(2); // its size, its content
  });

  test("a branch that moved is followed when its commit has been known for long", async () => {
    let now = 0;
    const one = source({ now: () => now });
    await one.find("hf://org/good", "main");
    publish("org/good", NEXT_COMMIT);
    expect((await one.find("hf://org/good", "main")).revision).toBe(COMMIT);
    now = 60_000;
    expect((await one.find("hf://org/good", "main")).revision).toBe(NEXT_COMMIT);
  });

  test("while the hub is away, the last commit known is served from disk", async () => {
    let now = 0;
    const one = source({ now: () => now });
    await one.find("hf://org/good", "main");
    now = 1e9;
    hub.fault = status(/./, 503);
    expect((await one.find("hf://org/good", "main")).revision).toBe(COMMIT);
  });

  test("the disk keeps to its budget: the adapter unused for the longest time goes", async () => {
    const one = source({ maxBytes: 250_000 });
    publish("org/b", COMMIT);
    publish("org/c", COMMIT);
    for (const name of ["good", "b", "good", "c"]) await one.find(`hf://org/${name}`, COMMIT);
    expect((await one.scan()).map(({ id }) => id).sort()).toEqual(["hf://org/c", "hf://org/good"]);
  });
});

describe("what goes wrong", () => {
  test.each([
    ["org/none", "ADAPTER_NOT_FOUND"],
    ["org", "INVALID_FIELD"],
    ["org/../etc", "INVALID_FIELD"],
  ] as const)("%s is %s", async (name, reason) => {
    expect((await reasonOf(source().find(`hf://${name}`, ""))).reason).toBe(reason);
  });

  test("a private repository: the message says what to do, and no token", async () => {
    hub.fault = status(/./, 401);
    const { reason, message } = await reasonOf(source({ accessToken: "hf_secret" }).find("hf://org/good", ""));
    expect(reason).toBe("ADAPTER_SOURCE_FORBIDDEN");
    expect(message).toMatch(/HF_TOKEN/);
    expect(message).not.toContain("hf_secret");
    expect(hub.requests).toHaveLength(1);
  });

  test("an unknown revision", async () => {
    expect((await reasonOf(source().find("hf://org/good", "v9"))).reason).toBe("ADAPTER_NOT_FOUND");
  });

  test("a repository that is not allowed is not asked for", async () => {
    const one = source({ allow: ["other/*", "org/fine"] });
    expect((await reasonOf(one.find("hf://org/good", ""))).reason).toBe("ADAPTER_SOURCE_FORBIDDEN");
    expect(hub.requests).toEqual([]);
    publish("org/fine", COMMIT);
    expect((await one.find("hf://org/fine", "")).revision).toBe(COMMIT);
  });

  test.each([
    ["broken off", weightsOf(WEIGHTS.subarray(0, 5000), "cut")],
    ["too short", weightsOf(WEIGHTS.subarray(0, 5000), "finish")],
    ["answered with 500", status(/safetensors/, 500)],
  ])("a download %s is tried again, and leaves nothing behind", async (_, fault) => {
    hub.fault = fault;
    const { reason } = await reasonOf(source({ attempts: 3 }).find("hf://org/good", ""));
    expect(reason).toBe("ADAPTER_SOURCE_UNAVAILABLE");
    expect(await leftovers()).toEqual([]);
    hub.fault = undefined;
    expect((await source().find("hf://org/good", "")).revision).toBe(COMMIT);
  });

  test("a fault that passes is not noticed", async () => {
    let faults = 2;
    const broken = weightsOf(WEIGHTS.subarray(0, 5000), "cut");
    hub.fault = (request, response) => faults > 0 && broken(request, response) && faults-- > 0;
    const { directory } = await source().find("hf://org/good", "");
    expect(await readFile(join(directory, WEIGHTS_FILE))).toEqual(WEIGHTS);
    expect(faults).toBe(0);
  });

  test("more bytes than announced are not taken", async () => {
    hub.fault = weightsOf(Buffer.alloc(WEIGHTS.length + 1), "finish");
    expect((await reasonOf(source().find("hf://org/good", ""))).reason).toBe("ADAPTER_CORRUPT");
    expect(await leftovers()).toEqual([]);
  });

  test("content without the announced hash is not taken", async () => {
    hub.lie = { sha256: "0".repeat(64) };
    expect((await reasonOf(source().find("hf://org/good", ""))).reason).toBe("ADAPTER_CORRUPT");
  });

  test("weights beyond the limit are refused before they are fetched", async () => {
    const { reason, message } = await reasonOf(source({ maxWeightBytes: 99_999 }).find("hf://org/good", ""));
    expect(reason).toBe("ADAPTER_INCOMPATIBLE");
    expect(message).toMatch(/100000 bytes; at most 99999/);
    expect(downloads().some((path) => path.endsWith(WEIGHTS_FILE))).toBe(false);
  });

  test("a repository without an adapter says what it lacks", async () => {
    hub.repositories.set("org/model", { refs: { main: COMMIT }, files: new Map([["model.gguf", Buffer.alloc(1)]]) });
    expect((await reasonOf(source().find("hf://org/model", ""))).message).toMatch(/no adapter_config.json/);
  });

  test("a hub that falls silent is given up", async () => {
    hub.fault = () => true;
    const { reason, message } = await reasonOf(source({ timeoutMillis: 50, attempts: 1 }).find("hf://org/good", ""));
    expect(reason).toBe("ADAPTER_SOURCE_UNAVAILABLE");
    expect(message).toMatch(/silent for more than 50 ms/);
  });

  test("a damaged entry is not served but fetched again", async () => {
    const { directory } = await source().find("hf://org/good", "");
    await writeFile(join(directory, "polygraft.json"), "{");
    expect(await source().scan()).toEqual([]);
    expect(await source().find("hf://org/good", "")).toMatchObject({ directory, revision: COMMIT });
    expect(await source().scan()).toHaveLength(1);
  });
});
