import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { connect } from "node:net";
import { FleetServiceDefinition, InferenceServiceDefinition } from "@polygraft/api";
import type { JoinRequest } from "@polygraft/api";
import { ChannelCredentials, createChannel, createClient, Status } from "nice-grpc";
import type { CallContext } from "nice-grpc";
import { HealthDefinition } from "nice-grpc-server-health";
import { expect, test, vi } from "vitest";
import { Outbox } from "../../src/router/fleet/outbox.js";
import { makeAuthority } from "../support/certificates.js";
import { child } from "../support/child.js";
import { deferred } from "../support/deferred.js";
import { allEnded, processAlive } from "../support/process-alive.js";
import { hear, textOf, textRequest } from "../support/router-fixture.js";
import { routerProcess } from "../support/router-process.js";
import type { RouterProcess } from "../support/router-process.js";
import { delta, finished } from "../support/scripted-service.js";
import { startScriptedWorker } from "../support/scripted-worker.js";
import { temporaryFolder } from "../support/temporary-folder.js";

vi.setConfig({ testTimeout: 120_000 });

/** The ports of the processes that a worker is told at the shared address. */
async function portsOf(address: string): Promise<readonly number[]> {
  const channel = createChannel(address);
  const requests = new Outbox<JoinRequest>(1);
  try {
    for await (const { message } of createClient(FleetServiceDefinition, channel).join(requests)) {
      if (message?.$case === "processes") return message.value.ports;
    }
    throw new Error("no ports were told");
  } finally {
    requests.close();
    channel.close();
  }
}

/** Resolves when something listens at the port. */
async function reachable(port: number): Promise<void> {
  for (;;) {
    const socket = connect(port, "127.0.0.1");
    const connected = await once(socket, "connect").then(() => true, () => false);
    socket.destroy();
    if (connected) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** A worker at each of the processes: it says "one", and "two" when it is let. */
async function workerOf({ address, said, log }: RouterProcess, name: string) {
  const go = deferred();
  const servedFor: string[] = [];
  async function* script(_: unknown, { metadata }: CallContext) {
    servedFor.push(issuerOf(metadata.get("authorization") ?? ""));
    yield delta("one", 1);
    await go.promise;
    yield delta("two", 2);
    yield finished(2);
  }
  const ports = await portsOf(address);
  const from = log.length;
  await Promise.all(ports.map(reachable));
  const first = await startScriptedWorker({ router: `127.0.0.1:${ports[0]}`, name, script });
  const more = ports.slice(1).map((port) => startScriptedWorker({ router: `127.0.0.1:${port}`, name, address: first.address, script }));
  const all = [first, ...(await Promise.all(more))];
  for (let number = 1; number <= ports.length; number++) await said(({ msg, process }) => msg === "worker joined" && process === number, from);
  return {
    go: go.resolve,
    /** Names of the routers whose calls it has served. */
    servedFor,
    [Symbol.asyncDispose]: async () => void (await Promise.all(all.map((each) => each[Symbol.asyncDispose]()))),
  };
}

function issuerOf(authorization: string): string {
  const payload = authorization.split(".")[1] ?? "";
  return JSON.parse(Buffer.from(payload, "base64url").toString()).iss;
}

/** A stream on a connection of its own, once its first token is here. */
async function begun(address: string) {
  const channel = createChannel(address, undefined, { "grpc.use_local_subchannel_pool": 1 });
  const client = createClient(InferenceServiceDefinition, channel);
  const first = deferred();
  const events = (async function* () {
    for await (const event of client.generate(textRequest("a"))) {
      if (textOf(event) === "one") first.resolve();
      yield event;
    }
  })();
  const heard = hear(events).finally(() => channel.close());
  await Promise.race([first.promise, heard]);
  return { heard };
}

test("two processes share an address: each serves, one that is killed takes only its own streams along, and comes back", async () => {
  await using started = await routerProcess({ processes: 2, name: "r" });
  const { address, said, log } = started;
  await using worker = await workerOf(started, "w1");
  const streams = [await begun(address)];
  while (new Set(worker.servedFor).size < 2) streams.push(await begun(address));

  const victim = await said(({ msg, process }) => msg === "router process started" && process === 1);
  const before = log.length;
  process.kill(victim.pid!, "SIGKILL");
  await said(({ msg, process }) => msg === "router process ended; another one takes its place" && process === 1, before);
  worker.go();
  for (const [index, { heard }] of streams.entries()) {
    const { text, error } = await heard;
    if (worker.servedFor[index] === "r/1") expect(error).toMatchObject({ code: Status.UNAVAILABLE });
    else expect([text, error]).toEqual(["onetwo", undefined]);
  }

  // Workers are told where it is now, and it takes clients again.
  await said(({ msg, process }) => msg === "router process started" && process === 1, before);
  await using back = await workerOf(started, "w2");
  back.go();
  while (!back.servedFor.includes("r/1")) {
    const { text, error } = await (await begun(address)).heard;
    expect([text, error]).toEqual(["onetwo", undefined]);
  }
});

test("told to stop, all finish what runs, and the whole exits with 0", async () => {
  await using folder = await temporaryFolder();
  await using started = await routerProcess({ processes: 2 }, { TMPDIR: folder.path });
  const { router, address, log, said } = started;
  await using worker = await workerOf(started, "w1");
  const streams = [await begun(address), await begun(address)];
  const pids = log.flatMap(({ pid }) => (pid === undefined ? [] : [pid]));
  expect(pids).toHaveLength(2);
  const exited = once(router, "exit");
  router.kill("SIGTERM");
  for (const number of [1, 2]) await said(({ msg, process }) => msg === "worker left" && process === number);
  worker.go();
  for (const { heard } of streams) expect(await heard).toMatchObject({ text: "onetwo", error: undefined });
  expect(await exited).toEqual([0, null]);
  expect(pids.some(processAlive)).toBe(false);
  expect(log.at(-1)?.msg).toBe("stopped");
});

test("processes end with the one that started them, however it ends", async () => {
  await using started = await routerProcess({ processes: 2 });
  const pids = started.log.flatMap(({ pid }) => (pid === undefined ? [] : [pid]));
  started.router.kill("SIGKILL");
  await allEnded(pids);
});

test.each([
  ["an address that is taken", (address: string) => ({ listen: address }), /EADDRINUSE/],
  ["a file that is missing", () => ({ listen: "127.0.0.1:0", apiKeysFile: "/nowhere/keys" }), /ENOENT.*\/nowhere\/keys[^]*router process 1 ended .* before it took clients/],
])("%s keeps them from starting: that is said, and nothing is left behind", async (_, options, expected) => {
  await using first = await routerProcess();
  await using second = child("router-process.mjs", [JSON.stringify({ ...options(first.address), processes: 2 })]);
  let said = "";
  second.stderr!.on("data", (chunk: Buffer) => (said += String(chunk)));
  const [code] = (await once(second, "close")) as [number];
  expect(code).not.toBe(0);
  expect(said).toMatch(expected);
});

test("connections that are handed on speak TLS, too", async () => {
  await using folder = await temporaryFolder();
  const authority = await makeAuthority(folder.path, "ca");
  const { cert: tlsCert, key: tlsKey } = await authority.issue("localhost");
  await using started = await routerProcess({ processes: 2, tlsCert, tlsKey });
  const ca = await readFile(authority.cert);
  for (let round = 0; round < 4; round++) {
    const channel = createChannel(started.address, ChannelCredentials.createSsl(ca), { "grpc.use_local_subchannel_pool": 1 });
    const { status } = await createClient(HealthDefinition, channel).check({ service: FleetServiceDefinition.fullName });
    expect(status).toBe(1); // SERVING
    channel.close();
  }
});
