import { createHash, createSecretKey, generateKeyPairSync, type KeyObject } from "node:crypto";
import { SignJWT, type JWTPayload } from "jose";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { AdapterServiceDefinition } from "@polygraft/api";
import { createChannel, createClient, Metadata } from "nice-grpc";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Gate } from "../../gpu-worker/src/access/gate.js";
import { KeyRing } from "../../gpu-worker/src/access/key-ring.js";
import { TokenIssuer } from "../../src/router/access/token-issuer.js";
import { systemTimers } from "../../src/router/index.js";
import { inferenceClient, listed, temporaryRouter } from "../support/router-fixture.js";
import { ScriptedRouter } from "../support/scripted-router.js";
import { temporaryFolder } from "../support/temporary-folder.js";
import { collect, request, temporaryWorker } from "../support/worker-fixture.js";

const audience = "polygraft-worker";
const inAnHour = () => Math.floor(Date.now() / 1000) + 3600;

/** Undefined leaves a claim out. */
type Claims = { readonly [Name in "sub" | "aud" | "exp" | "tenant"]?: JWTPayload[Name] | undefined };

/** A router's key, and tokens signed with it. */
function signer(id = "k1") {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const sign = (claims: Claims = {}, key: KeyObject = privateKey, alg = "ES256") =>
    new SignJWT({ sub: "me", aud: audience, exp: inAnHour(), ...claims } as JWTPayload).setProtectedHeader({ alg, kid: id }).sign(key);
  const spki = publicKey.export({ type: "spki", format: "der" });
  return { sign, publicKey, key: { id, publicKey: spki } };
}

/** The same token, saying of itself that it has no signature, and having none. */
function unsigned(token: string): string {
  const header = Buffer.from(JSON.stringify({ alg: "none", kid: "k1" })).toString("base64url");
  return `${header}.${token.split(".")[1]}.`;
}

const bearer = (token: string) => ({ metadata: Metadata({ authorization: `Bearer ${token}` }) });

describe("a worker whose router asks for tokens", () => {
  const own = signer();
  let router: ScriptedRouter;
  let tiny: Awaited<ReturnType<typeof temporaryWorker>>;
  beforeAll(async () => {
    router = await ScriptedRouter.start();
    tiny = await temporaryWorker({ a: { seed: 1 } }, { join: [router.address] });
    const stream = await router.stream(0);
    await stream.said("hello");
    // Before a router has said anything, the worker is as open as one without routers.
    expect((await collect(tiny.inference.generate(request("hello")))).finished).toBeDefined();
    stream.say({ $case: "accessKeys", value: { keys: [own.key], required: true, tokenSeconds: 60, unixMillis: 0n } });
    while (await collect(tiny.inference.generate(request("hello"))).then(() => true, () => false));
  });
  afterAll(async () => {
    router.stop();
    await tiny[Symbol.asyncDispose]();
  });

  test("takes calls with one", async () => {
    const token = await own.sign();
    expect((await collect(tiny.inference.generate(request("hello"), bearer(token)))).finished).toBeDefined();
    expect((await tiny.adapterService.listAdapters({}, bearer(token))).adapters).toHaveLength(1);
  });

  test("takes one that has expired by less than clocks may differ", async () => {
    const token = await own.sign({ exp: Math.floor(Date.now() / 1000) - 1 });
    expect((await collect(tiny.inference.generate(request("hello"), bearer(token)))).finished).toBeDefined();
  });

  const stranger = signer();
  const secretOfPublicKey = createSecretKey(own.publicKey.export({ type: "spki", format: "pem" }) as string, "utf8");
  const bad: readonly (readonly [what: string, token: () => string | Promise<string>, says: RegExp])[] = [
    ["expired", () => own.sign({ exp: Math.floor(Date.now() / 1000) - 60 }), /has expired/],
    ["for somebody else", () => own.sign({ aud: "another-service" }), /not valid/],
    ["without an end", () => own.sign({ exp: undefined }), /not valid/],
    ["without a holder", () => own.sign({ sub: undefined }), /not valid/],
    ["signed by a stranger in the router's name", () => stranger.sign(), /not valid/],
    ["of a router that was not joined", () => signer("k2").sign(), /has not joined/],
    ["signed with the public key as a secret", () => own.sign({}, secretOfPublicKey, "HS256"), /not valid/],
    ["not signed at all", async () => unsigned(await own.sign()), /not valid/],
    ["with an overlong tenant", () => own.sign({ tenant: "t".repeat(129) }), /not valid/],
    ["that is none", () => "key-1", /not valid/],
    ["of a megabyte", () => "x".repeat(6000), /too long/],
  ];
  test.each(bad)("refuses one %s, and does not repeat it", async (_, make, says) => {
    const token = await make();
    const failed = await collect(tiny.inference.generate(request("hello"), bearer(token))).catch((error: unknown) => error);
    expect(failed).toMatchObject({ code: 16, details: expect.stringMatching(says) });
    expect((failed as Error).message).not.toContain(token);
    await expect(tiny.adapterService.listAdapters({}, bearer(token))).rejects.toMatchObject({ code: 16 });
  });

  test("refuses one whose signature was changed", async () => {
    const [head, claims, signature = ""] = (await own.sign()).split(".");
    const changed = `${signature[0] === "A" ? "B" : "A"}${signature.slice(1)}`;
    await expect(collect(tiny.inference.generate(request("hello"), bearer(`${head}.${claims}.${changed}`)))).rejects.toMatchObject({ code: 16 });
  });
});

test("a gate tells whose fair share a token uses", async () => {
  const issuer = await TokenIssuer.start({ router: "r", tokenSeconds: 60, required: true }, systemTimers);
  const keys = new KeyRing();
  keys.learn(issuer, issuer.accessKeys);
  const gate = new Gate(keys, undefined);
  const { token } = await issuer.issue({ client: "me", tenant: "key 3" });
  expect(await gate.admit(bearer(token).metadata)).toEqual({ tenant: "key 3" });
  expect(await gate.admit(bearer(token).metadata)).toEqual({ tenant: "key 3" });
  expect(await gate.admit(Metadata({ authorization: issuer.authorization }))).toEqual({ tenant: undefined });
  issuer.close();
});

test.each([-86_400, 86_400])("a router whose clock is %i seconds ahead of the worker's is understood", async (ahead) => {
  const own = signer();
  const now = Math.floor(Date.now() / 1000) + ahead;
  const ring = new KeyRing();
  ring.learn(ring, { keys: [own.key], required: true, tokenSeconds: 60, unixMillis: BigInt(now * 1000) });
  const gate = new Gate(ring, undefined);
  const admit = async (exp: number) => gate.admit(bearer(await own.sign({ exp })).metadata);
  await admit(now + 60);
  await expect(admit(now - 60)).rejects.toMatchObject({ reason: "UNAUTHENTICATED" });
});

test("a token outlives its router's stream by as long as it lives itself, and no longer", async () => {
  const issuer = await TokenIssuer.start({ router: "r", tokenSeconds: 60, required: true }, systemTimers);
  issuer.close();
  const metadata = Metadata({ authorization: issuer.authorization });
  for (const tokenSeconds of [60, 0]) {
    const keys = new KeyRing();
    const gate = new Gate(keys, undefined);
    const stream = {};
    keys.learn(stream, { ...issuer.accessKeys, tokenSeconds });
    await gate.admit(metadata);
    keys.leave(stream);
    // The gate has seen the token before, and there is no router left that asks for tokens.
    if (tokenSeconds > 0) await gate.admit(metadata);
    else await expect(gate.admit(metadata)).rejects.toMatchObject({ reason: "UNAUTHENTICATED" });
  }
});

test("keys that a worker cannot use are named, and leave it shut rather than open", () => {
  const rsa = generateKeyPairSync("rsa", { modulusLength: 1024 }).publicKey.export({ type: "spki", format: "der" });
  const p384 = generateKeyPairSync("ec", { namedCurve: "P-384" }).publicKey.export({ type: "spki", format: "der" });
  const { key } = signer();
  const bad: readonly (readonly [{ id: string; publicKey: Buffer }[], RegExp])[] = [
    [[{ id: "a", publicKey: rsa }], /P-256, not rsa/],
    [[{ id: "a", publicKey: p384 }], /P-256, not secp384r1/],
    [[{ id: "a", publicKey: Buffer.alloc(1025) }], /at most 1024 bytes/],
    [[{ id: "a", publicKey: createHash("sha256").digest() }], /./],
    [[{ ...key, id: "" }], /1 to 64 bytes/],
    [[{ ...key, id: "é".repeat(33) }], /1 to 64 bytes/],
    [Array.from({ length: 9 }, () => key), /at most 8 keys/],
  ];
  for (const [keys, says] of bad) {
    const ring = new KeyRing();
    expect(() => ring.learn(ring, { keys, required: true, tokenSeconds: 60, unixMillis: 0n })).toThrow(says);
    expect(ring.required).toBe(true);
  }
});

test("behind a router with API keys a worker serves the router's clients, and nobody past it", async () => {
  await using folder = await temporaryFolder();
  const apiKeysFile = join(folder.path, "keys");
  await writeFile(apiKeysFile, "key-1\n");
  await using router = await temporaryRouter({ apiKeysFile });
  await using tiny = await temporaryWorker({ a: { seed: 1 } }, { join: [router.address], apiKey: "key-1" });
  await listed(router, "worker-1");
  using through = inferenceClient(router.address);
  const wanted = request("hello", { adapter: { id: "a" } });
  expect((await collect(through.client.generate(wanted, bearer("key-1")))).finished).toBeDefined();
  const channel = createChannel(router.address);
  const loaded = await createClient(AdapterServiceDefinition, channel).loadAdapter({ adapter: { id: "a" } }, bearer("key-1"));
  expect(loaded.adapter?.residency).toMatchObject([{ worker: "worker-1" }]);
  channel.close();
  for (const options of [{}, bearer("key-1")]) {
    await expect(collect(tiny.inference.generate(wanted, options))).rejects.toMatchObject({ code: 16 });
  }
});

test("a worker that was told to wants tokens before any router has said so", async () => {
  await using tiny = await temporaryWorker({}, { requireToken: true });
  await expect(collect(tiny.inference.generate(request("hello")))).rejects.toMatchObject({ code: 16 });
});
