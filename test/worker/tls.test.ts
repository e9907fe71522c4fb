import { readFileSync } from "node:fs";
import { rename } from "node:fs/promises";
import { connect } from "node:tls";
import { Polygraft } from "@polygraft/client";
import { CertificateFiles } from "@polygraft/tls";
import { HealthState } from "nice-grpc-server-health";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Gate } from "../../gpu-worker/src/access/gate.js";
import { KeyRing } from "../../gpu-worker/src/access/key-ring.js";
import { startWorkerServer } from "../../gpu-worker/src/server/worker-server.js";
import { clientTls, makeAuthority } from "../support/certificates.js";
import type { Authority, Issued } from "../support/certificates.js";
import { listed, temporaryRouter } from "../support/router-fixture.js";
import { scriptedAdapters } from "../support/scripted-adapters.js";
import { temporaryFolder } from "../support/temporary-folder.js";
import { temporaryWorker } from "../support/worker-fixture.js";

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let ours: Authority;
let workerCert: Issued;
let clientCert: Issued;
beforeAll(async () => {
  folder = await temporaryFolder();
  ours = await makeAuthority(folder.path, "ours");
  [workerCert, clientCert] = await Promise.all([ours.issue("worker"), ours.issue("client")]);
});
afterAll(() => folder[Symbol.asyncDispose]());

test("a worker and its router know each other by certificates, and serve who has one", async () => {
  const routerCert = await ours.issue("router");
  const routerTls = { tlsCert: routerCert.cert, tlsKey: routerCert.key, tlsClientCa: ours.cert, workerCa: ours.cert };
  await using router = await temporaryRouter(routerTls);
  const workerTls = { tlsCert: workerCert.cert, tlsKey: workerCert.key, tlsClientCa: ours.cert, routerCa: ours.cert };
  await using tiny = await temporaryWorker({ a: { seed: 1 } }, { join: [`https://${router.address}`], ...workerTls });
  await listed(router, "worker-1");
  const request = { prompt: "hello", adapter: "a", maxTokens: 4, ignoreEos: true };
  const tls = await clientTls(ours, clientCert);
  const texts: string[] = [];
  await using direct = new Polygraft({ address: `https://${router.address}`, tls, direct: true });
  texts.push(await direct.generate(request).text());
  for (const address of [router.address, tiny.worker.address]) {
    await using client = new Polygraft({ address: `https://${address}`, tls, retry: false });
    texts.push(await client.generate(request).text());
    await using nobody = new Polygraft({ address: `https://${address}`, tls: await clientTls(ours), retry: false });
    await expect(nobody.generate(request).text()).rejects.toMatchObject({ code: "UNAVAILABLE" });
    await using plain = new Polygraft({ address, retry: false });
    await expect(plain.generate(request).text()).rejects.toMatchObject({ code: "UNAVAILABLE" });
  }
  expect(new Set(texts).size).toBe(1);
  expect(texts[0]).not.toBe("");
});

test("a worker does not greet a router of another authority", async () => {
  const theirs = await makeAuthority(folder.path, "theirs");
  const routerCert = await theirs.issue("foreign-router");
  await using router = await temporaryRouter({ tlsCert: routerCert.cert, tlsKey: routerCert.key });
  let said: (entry: string) => void = () => {};
  const warned = new Promise<string>((resolve) => (said = resolve));
  const log = { info: () => {}, error: () => {}, warn: (message: string, fields: object = {}) => said(`${message} ${JSON.stringify(fields)}`) };
  await using _ = await temporaryWorker({}, { join: [`https://${router.address}`], routerCa: ours.cert, log });
  expect(await warned).toMatch(/not joined .*certificate/);
  expect(router.fleet.view.members).toEqual([]);
});

test("options that would greet in the clear, or cannot be used, are refused", async () => {
  const refused = (options: object) => temporaryWorker({}, options).then(() => "started", (error: Error) => error.message);
  expect(await refused({ join: ["127.0.0.1:1"], routerCa: ours.cert })).toContain('the option join must be "https://host:port"');
  expect(await refused({ tlsClientCa: ours.cert })).toContain("tlsClientCa needs tlsCert and tlsKey");
  expect(await refused({ tlsCert: workerCert.cert, tlsKey: clientCert.key })).toContain("does not belong to the certificate");
});

test("a worker's server takes replaced certificates for new connections", async () => {
  const own = await ours.issue("changing");
  const files = await CertificateFiles.open({ certificate: own.cert, key: own.key });
  const inference = { async *generate() {} };
  const log = { info: () => {}, warn: () => {}, error: () => {} };
  const services = { gate: new Gate(new KeyRing(), false), inference, adapters: scriptedAdapters("w1", []), health: { state: HealthState() } as never };
  const server = await startWorkerServer("127.0.0.1:0", services, files, log);
  const shown = () =>
    new Promise<string | undefined>((resolve, reject) => {
      const socket = connect({ host: "127.0.0.1", port: server.port, ca: readFileSync(ours.cert), ALPNProtocols: ["h2"] }, () => {
        resolve(socket.getPeerX509Certificate()?.subject);
        socket.destroy();
      });
      socket.on("error", reject);
    });
  expect(await shown()).toBe("CN=changing");
  const next = await ours.issue("next");
  await rename(next.cert, own.cert);
  await rename(next.key, own.key);
  expect(await files.reload()).toBe(true);
  expect(await shown()).toBe("CN=next");
  server.forceShutdown();
});
