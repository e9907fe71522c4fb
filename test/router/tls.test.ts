import { readFileSync } from "node:fs";
import { rename } from "node:fs/promises";
import { connect as connectHttp2 } from "node:http2";
import { connect } from "node:tls";
import type { ConnectionOptions } from "node:tls";
import { ServerCredentials } from "@grpc/grpc-js";
import { InferenceServiceDefinition } from "@polygraft/api";
import { Polygraft } from "@polygraft/client";
import { decodeJwt } from "jose";
import { ChannelCredentials, createChannel, createClient } from "nice-grpc";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Log, RouterOptions } from "../../src/router/index.js";
import { clientTls, makeAuthority } from "../support/certificates.js";
import type { Authority, Issued } from "../support/certificates.js";
import { manualTimers } from "../support/manual-timers.js";
import { hear, listed, temporaryRouter, textRequest } from "../support/router-fixture.js";
import { scriptedAdapters } from "../support/scripted-adapters.js";
import { accepted, delta, finished } from "../support/scripted-service.js";
import type { Script } from "../support/scripted-service.js";
import { startScriptedWorker } from "../support/scripted-worker.js";
import { temporaryFolder } from "../support/temporary-folder.js";

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let ours: Authority;
let theirs: Authority;
let routerCert: Issued;
let workerCert: Issued;
let clientCert: Issued;
beforeAll(async () => {
  folder = await temporaryFolder();
  ours = await makeAuthority(folder.path, "ours");
  theirs = await makeAuthority(folder.path, "theirs");
  [routerCert, workerCert, clientCert] = await Promise.all([ours.issue("router"), ours.issue("worker"), ours.issue("client")]);
});
afterAll(() => folder[Symbol.asyncDispose]());

const hello: Script = async function* (request) {
  yield accepted(request.requestId);
  yield delta("Hello", 1);
  yield finished(1);
};

const server = () => ({ tlsCert: routerCert.cert, tlsKey: routerCert.key });
const read = (path: string) => readFileSync(path);
const asClient = (own?: Issued) =>
  ChannelCredentials.createSsl(read(ours.cert), own && read(own.key), own && read(own.cert));
const asServer = (own: Issued, clients?: Issued) =>
  ServerCredentials.createSsl(clients ? read(clients.cert) : null, [{ private_key: read(own.key), cert_chain: read(own.cert) }], clients !== undefined);

/** A log whose entries tests wait for. */
function heardLog(): Log & { readonly entries: string[]; until(text: string): Promise<string> } {
  const entries: string[] = [];
  const waiting = new Set<() => void>();
  const add = (message: string, fields = {}) => {
    entries.push(`${message} ${JSON.stringify(fields)}`);
    for (const wake of waiting) wake();
  };
  return {
    info: add,
    warn: add,
    error: add,
    entries,
    async until(text) {
      for (;;) {
        const found = entries.find((entry) => entry.includes(text));
        if (found !== undefined) return found;
        await new Promise<void>((resolve) => waiting.add(resolve));
      }
    },
  };
}

/** Shakes hands with "host:port"; the socket, or why it did not come about. */
function shakeHands(address: string, options: ConnectionOptions): Promise<{ alpn: string | false | null; protocol: string | null; cert: string } | Error> {
  const { hostname, port } = new URL(`http://${address}`);
  return new Promise((resolve) => {
    const socket = connect({ host: hostname, port: Number(port), ca: read(ours.cert), ...options }, () => {
      const { alpnProtocol: alpn } = socket;
      resolve({ alpn, protocol: socket.getProtocol(), cert: socket.getPeerX509Certificate()?.fingerprint256 ?? "" });
      socket.destroy();
    });
    socket.on("error", resolve);
  });
}

/** How a generation at the router ends. */
async function generate(address: string, credentials: ChannelCredentials) {
  const channel = createChannel(`https://${address}`, credentials);
  const heard = await hear(createClient(InferenceServiceDefinition, channel).generate(textRequest("x")));
  channel.close();
  return heard;
}

describe("a router with a certificate", () => {
  test("negotiates HTTP/2 by ALPN over TLS 1.2 or newer, and nothing else", async () => {
    await using router = await temporaryRouter(server());
    expect(await shakeHands(router.address, { ALPNProtocols: ["h2"] })).toMatchObject({ alpn: "h2", protocol: "TLSv1.3" });
    expect(await shakeHands(router.address, { ALPNProtocols: ["http/1.1", "h2"] })).toMatchObject({ alpn: "h2" });
    expect(await shakeHands(router.address, { ALPNProtocols: ["http/1.1"] })).toBeInstanceOf(Error);
    const old = await shakeHands(router.address, { ALPNProtocols: ["h2"], minVersion: "TLSv1.1", maxVersion: "TLSv1.1", ciphers: "ALL@SECLEVEL=0" });
    expect(old).toBeInstanceOf(Error);
  });

  test("serves the SDK from end to end, through a worker that speaks TLS too", async () => {
    await using router = await temporaryRouter({ ...server(), workerCa: ours.cert });
    const tls = { tls: asServer(workerCert), routerTls: asClient() };
    await using worker = await startScriptedWorker({ router: `https://${router.address}`, name: "w1", script: hello, ...tls });
    await listed(router, worker.name);
    await using client = new Polygraft({ address: `https://${router.address}`, tls: await clientTls(ours) });
    expect(await client.generate({ prompt: "x" }).text()).toBe("Hello");
    const workers = client.fleet.watch()[Symbol.asyncIterator]();
    expect((await workers.next()).value?.workers[0]?.name).toBe("w1");
    await workers.return?.(undefined);
  });

  test("is followed by direct clients to workers that speak TLS, and to no others", async () => {
    await using router = await temporaryRouter(server());
    const routerTls = asClient();
    const address = `https://${router.address}`;
    await using safe = await startScriptedWorker({ router: address, name: "w1", script: hello, tls: asServer(workerCert), routerTls });
    await using plain = await startScriptedWorker({ router: address, name: "w2", script: hello, routerTls });
    await listed(router, safe.name, plain.name);
    const tls = { ...(await clientTls(ours)), serverName: "localhost" };
    await using client = new Polygraft({ address, tls, direct: true });
    for (const { name } of [safe, plain]) {
      expect(await client.generate({ prompt: "x", routing: { worker: name } }).text()).toBe("Hello");
    }
    const callerOf = ({ calls }: typeof safe) => decodeJwt(calls[0]!.context.metadata.get("authorization")!.slice(7)).sub;
    expect([callerOf(safe), callerOf(plain)]).toEqual(["127.0.0.1", "router router-1"]);
  });

  test("is not taken for another one, and says whose handshake failed", async () => {
    const log = heardLog();
    await using router = await temporaryRouter({ ...server(), log });
    await using stranger = new Polygraft({ address: `https://${router.address}`, tls: await clientTls(theirs), retry: false });
    await expect(stranger.connect({ timeoutMs: 2000 })).rejects.toMatchObject({ code: "UNAVAILABLE" });
    expect(await log.until("a client's TLS handshake failed")).toContain('"peer":"127.0.0.1","reason":"');
    await using plain = new Polygraft({ address: router.address, retry: false });
    await expect(plain.generate({ prompt: "x" }).text()).rejects.toMatchObject({ code: "UNAVAILABLE" });
    // A name that the certificate does not have is no better.
    const named = { ...(await clientTls(ours)), serverName: "elsewhere" };
    await using lost = new Polygraft({ address: `https://${router.address}`, tls: named, retry: false });
    await expect(lost.connect({ timeoutMs: 2000 })).rejects.toMatchObject({ code: "UNAVAILABLE" });
  });

  test("starts with good files only", async () => {
    const start = (options: RouterOptions) => temporaryRouter(options).then(() => "started", (error: Error) => error.message);
    expect(await start({ tlsCert: routerCert.cert, tlsKey: clientCert.key })).toContain("does not belong to the certificate");
    expect(await start({ tlsClientCa: ours.cert })).toContain("tlsClientCa needs tlsCert and tlsKey");
    expect(await start({ workerCa: "/nowhere.pem" })).toContain("/nowhere.pem cannot be read: ENOENT");
  });
});

describe("a router that asks clients for certificates", () => {
  test("serves those of its authority, and nobody else", async () => {
    await using router = await temporaryRouter({ ...server(), tlsClientCa: ours.cert });
    const foreign = await theirs.issue("foreign");
    const tls = { tls: asServer(workerCert), routerTls: asClient(workerCert) };
    await using worker = await startScriptedWorker({ router: `https://${router.address}`, name: "w1", script: hello, ...tls });
    // The worker's certificate is of an authority that Node does not know: this router was told of none.
    await listed(router, worker.name);
    expect((await generate(router.address, asClient(clientCert))).error?.message).toContain("no worker could be reached");
    for (const own of [undefined, foreign]) {
      expect((await generate(router.address, asClient(own))).error?.message).toMatch(/UNAVAILABLE/);
    }
  });

  test("shows its own certificate to workers that ask", async () => {
    await using router = await temporaryRouter({ ...server(), tlsClientCa: ours.cert, workerCa: ours.cert });
    const tls = { tls: asServer(workerCert, ours), routerTls: asClient(workerCert) };
    await using worker = await startScriptedWorker({ router: `https://${router.address}`, name: "w1", script: hello, ...tls });
    await listed(router, worker.name);
    expect(await generate(router.address, asClient(clientCert))).toMatchObject({ text: "Hello", error: undefined });
  });
});

describe("workers", () => {
  test("of another authority get no requests, and the log says why", async () => {
    const log = heardLog();
    await using router = await temporaryRouter({ ...server(), workerCa: theirs.cert, log });
    const tls = { tls: asServer(workerCert), routerTls: asClient() };
    await using worker = await startScriptedWorker({ router: `https://${router.address}`, name: "w1", script: hello, ...tls });
    await listed(router, worker.name);
    expect((await generate(router.address, asClient())).error?.message).toContain("no worker could be reached");
    expect(worker.calls).toEqual([]);
    expect(await log.until("a connection to a worker failed")).toMatch(/https:\/\/127\.0\.0\.1:\d+.*certificate/);
  });

  test("that speak no TLS are refused where the router knows their authority", async () => {
    await using router = await temporaryRouter({ workerCa: ours.cert });
    await using worker = await startScriptedWorker({ router: router.address, name: "w1", script: hello });
    expect((await worker.expelled)?.message).toContain("hello.tls");
  });

  test("may share a certificate by name", async () => {
    const shared = await ours.issue("shared", "DNS:worker.polygraft");
    const tls = { tls: asServer(shared), routerTls: asClient() };
    for (const [workerTlsName, served] of [["worker.polygraft", true], [undefined, false]] as const) {
      await using router = await temporaryRouter({ ...server(), workerCa: ours.cert, workerTlsName });
      const services = { script: hello, adapterService: scriptedAdapters("w1", []) };
      await using worker = await startScriptedWorker({ router: `https://${router.address}`, name: "w1", ...services, ...tls });
      await listed(router, worker.name);
      expect((await generate(router.address, asClient())).error === undefined).toBe(served);
      // The adapter service is another client of workers.
      await using client = new Polygraft({ address: `https://${router.address}`, tls: await clientTls(ours), retry: false });
      const load = client.adapters.load("a", { timeoutMs: 2000 }).then(() => true, () => false);
      expect(await load).toBe(served);
    }
  });
});

test("replaced certificates count for new connections, and old ones go on", async () => {
  const timers = manualTimers();
  const log = heardLog();
  const own = await ours.issue("changing");
  await using router = await temporaryRouter({ tlsCert: own.cert, tlsKey: own.key, timers, log });
  const first = await shakeHands(router.address, { ALPNProtocols: ["h2"] });
  const session = connectHttp2(`https://${router.address}`, { ca: read(ours.cert) });
  await new Promise((resolve) => session.once("connect", resolve));

  const next = await ours.issue("next");
  await rename(next.cert, own.cert);
  timers.advance(10_000);
  expect(await log.until("the old ones stay")).toContain("does not belong");
  expect(await shakeHands(router.address, { ALPNProtocols: ["h2"] })).toEqual(first);

  await rename(next.key, own.key);
  timers.advance(10_000);
  await log.until("certificates were replaced");
  const second = await shakeHands(router.address, { ALPNProtocols: ["h2"] });
  expect(second).toMatchObject({ alpn: "h2" });
  expect(second).not.toEqual(first);
  await new Promise<void>((resolve, reject) => session.ping((error) => (error ? reject(error) : resolve())));
  session.destroy();
});
