import type { GenerateRequest } from "@polygraft/api";
import { decodeJwt } from "jose";
import { ServerError, Status } from "nice-grpc";
import { BadRequest, ErrorInfo, RichServerError } from "nice-grpc-error-details";
import { afterEach, expect, test } from "vitest";
import { deferred } from "../support/deferred.js";
import { listed, temporaryRouter } from "../support/router-fixture.js";
import { runCli, startCli } from "../support/run-cli.js";
import { accepted, delta, finished, refusal, serveScript } from "../support/scripted-service.js";
import type { Script } from "../support/scripted-service.js";
import { startScriptedWorker } from "../support/scripted-worker.js";

const cleanups: (() => void)[] = [];
afterEach(() => cleanups.splice(0).forEach((cleanup) => cleanup()));

async function serve(script: Script): Promise<string> {
  const server = await serveScript(script);
  cleanups.push(() => server.close());
  return server.address;
}

/** Answers "Hello", and keeps the request. */
async function greeter(): Promise<{ address: string; request: () => GenerateRequest }> {
  let request!: GenerateRequest;
  const address = await serve(async function* (received) {
    request = received;
    yield accepted(received.requestId);
    yield delta("Hel", 1);
    yield delta("lo", 2);
    yield finished(2);
  });
  return { address, request: () => request };
}

test("text goes to standard output, and nothing else", async () => {
  const { address, request } = await greeter();
  const result = await runCli([
    "generate", "--router", address, "--adapter", "acme/a@v2", "--max-tokens", "9", "--temperature", "0.5",
    "--seed", "18446744073709551615", "--stop", "X", "--stop", "Y", "Say hello",
  ]);
  expect(result).toEqual({ code: 0, stdout: "Hello\n", stderr: "" });
  expect(request()).toMatchObject({
    prompt: { $case: "text", value: "Say hello" },
    adapter: { id: "acme/a", revision: "v2" },
    sampling: { temperature: 0.5, seed: 18446744073709551615n },
    stopping: { maxTokens: 9, stopTexts: ["X", "Y"] },
  });
});

test("--json prints one line that scripts can read", async () => {
  const { address } = await greeter();
  const { stdout, code } = await runCli(["generate", "--router", address, "--json", "hi"]);
  expect(code).toBe(0);
  expect(stdout.trimEnd().split("\n")).toHaveLength(1);
  expect(JSON.parse(stdout)).toMatchObject({
    text: "Hello",
    tokenIds: [1, 2],
    finishReason: "max-tokens",
    usage: { promptTokens: 3, cachedTokens: 1, outputTokens: 2 },
    worker: "worker-1",
    seed: "7",
    ttftMs: expect.any(Number),
  });
});

test("- reads the prompt from standard input, to the last byte", async () => {
  const { address, request } = await greeter();
  await runCli(["generate", "--router", address, "-"], "two\nlines\n");
  expect(request().prompt).toEqual({ $case: "text", value: "two\nlines\n" });
});

test("--chat and --system make messages", async () => {
  const { address, request } = await greeter();
  await runCli(["generate", "--router", address, "--chat", "--system", "Be brief.", "hi"]);
  const messages = [{ role: "system", content: "Be brief." }, { role: "user", content: "hi" }];
  expect(request().prompt).toEqual({ $case: "chat", value: { messages, addGenerationPrompt: undefined } });
});

test("address and key come from the environment too", async () => {
  const key = deferred<string | undefined>();
  const address = await serve(async function* (request, { metadata }) {
    key.resolve(metadata.get("authorization"));
    yield accepted(request.requestId);
    yield finished(0);
  });
  const env = { POLYGRAFT_ADDRESS: address, POLYGRAFT_API_KEY: "k-1" };
  expect((await runCli(["generate", "hi"], "", env)).code).toBe(0);
  expect(await key.promise).toBe("Bearer k-1");
});

test.each([
  ["--direct", ["--direct"], {}],
  ["POLYGRAFT_DIRECT", [], { POLYGRAFT_DIRECT: "1" }],
])("%s calls the worker past the router", async (_, flags, env) => {
  await using router = await temporaryRouter();
  await using worker = await startScriptedWorker({
    router: router.address,
    name: "w1",
    async *script(request) {
      yield accepted(request.requestId);
      yield delta("Hello", 1);
      yield finished(1);
    },
  });
  await listed(router, "w1");
  const { code, stdout } = await runCli(["generate", "--router", router.address, ...flags, "hi"], "", env);
  expect([code, stdout]).toEqual([0, "Hello\n"]);
  expect(decodeJwt(worker.calls[0]!.context.metadata.get("authorization")!.slice(7)).sub).toBe("127.0.0.1");
});

test.for([
  [3, "what the server refuses", new ServerError(Status.NOT_FOUND, "no such adapter")],
  [4, "what it cannot do now", new ServerError(Status.UNAVAILABLE, "draining")],
  [1, "a bug", new ServerError(Status.INTERNAL, "oops")],
] as const)("exit code %i says: %s", async ([code, , error]) => {
  const address = await serve(refusal(error));
  const result = await runCli(["generate", "--router", address, "hi"]);
  expect(result.code).toBe(code);
  expect(result.stdout).toBe("");
  expect(result.stderr).toContain(error.details);
});

test("a refused field is named with its limit", async () => {
  const violation = { field: "sampling.temperature", description: "must be from 0 to 10, is 10.5" };
  const details = [
    ErrorInfo.fromPartial({ reason: "INVALID_FIELD", domain: "polygraft" }),
    BadRequest.fromPartial({ fieldViolations: [violation] }),
  ];
  const address = await serve(refusal(new RichServerError(Status.INVALID_ARGUMENT, "the request is invalid", details)));
  const { code, stderr } = await runCli(["generate", "--router", address, "hi"]);
  expect(code).toBe(3);
  expect(stderr).toContain("sampling.temperature: must be from 0 to 10, is 10.5");
});

test("exit code 4 says: nobody is there; and the message says what to do", async () => {
  const server = await serveScript(async function* () {});
  server.close();
  const { code, stderr } = await runCli(["generate", "--router", server.address, "hi"]);
  expect(code).toBe(4);
  expect(stderr).toContain(server.address);
  expect(stderr).toContain("polygraft up --model DIR");
});

test.for([
  [["generate"], "missing required argument"],
  [["generate", "--max-tokens", "many", "hi"], "--max-tokens"],
  [["generate", "--temperature", "99", "hi"], "from 0 to 10"],
  [["generate", "--system", "x", "hi"], "--system needs --chat"],
  [["up"], "--model"],
  [["router", "--listen", "nowhere"], "host:port"],
  [["nonsense"], "unknown command"],
  [["score", "--router", "127.0.0.1:1", "--model", "x", "y"], "cannot be used with"],
] as const)("exit code 2 says: wrong usage (%j)", async ([args, hint]) => {
  const { code, stderr, stdout } = await runCli(args);
  expect(code).toBe(2);
  expect(stderr).toContain(hint);
  expect(stdout).toBe("");
});

test.for(["up", "router", "worker", "generate", "adapters", "score", "bench", "demo"])("%s --help shows examples", async (command) => {
  const { code, stdout } = await runCli([command, "--help"]);
  expect(code).toBe(0);
  expect(stdout).toMatch(new RegExp(`Examples:\\n  polygraft ${command}`));
});

test("a reader that leaves, as head does, is no failure, and cancels the call", async () => {
  const cancelled = deferred();
  const address = await serve(async function* (request, { signal }) {
    signal.addEventListener("abort", () => cancelled.resolve());
    yield accepted(request.requestId);
    for (let line = 0; !signal.aborted; line++) yield delta(`${line}\n`.repeat(1000), 1);
  });
  const cli = startCli(["generate", "--router", address, "count"]);
  await cli.seen(/^0$/m);
  cli.process.stdout.destroy();
  await cancelled.promise;
  const { code, stderr } = await cli.result;
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
});

test("Ctrl-C cancels the call and gives exit code 130", async () => {
  const cancelled = deferred();
  const address = await serve(async function* (request, { signal }) {
    yield accepted(request.requestId);
    yield delta("a", 1);
    await new Promise((resolve) => signal.addEventListener("abort", resolve));
    cancelled.resolve();
  });
  const cli = startCli(["generate", "--router", address, "hi"]);
  await cli.seen(/a/);
  cli.process.kill("SIGINT");
  const { code, stderr } = await cli.result;
  expect({ code, stderr }).toEqual({ code: 130, stderr: "" });
  await cancelled.promise;
});
