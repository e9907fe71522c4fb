import { BadRequest, ErrorInfo, RetryInfo, RichServerError } from "nice-grpc-error-details";
import type { ErrorDetails } from "nice-grpc-error-details";
import { ServerError, Status } from "nice-grpc";
import { afterEach, describe, expect, test, vi } from "vitest";
import { accepted, delta, finished, serveScript } from "../../test/support/scripted-service.js";
import type { Script } from "../../test/support/scripted-service.js";
import { Polygraft, PolygraftError } from "./index.js";
import type { PolygraftOptions } from "./index.js";

const cleanups: (() => void)[] = [];
afterEach(() => cleanups.splice(0).forEach((cleanup) => cleanup()));

async function connect(script: Script, options: PolygraftOptions = {}): Promise<Polygraft> {
  const server = await serveScript(script);
  const client = new Polygraft({ address: server.address, ...options });
  cleanups.push(() => client.close(), () => server.close());
  return client;
}

const fast = { initialBackoffMs: 1 };

function refusal(status: Status, reason: string, ...more: ErrorDetails[]): RichServerError {
  const info = ErrorInfo.fromPartial({ reason, domain: "polygraft", metadata: { adapter: "acme/a", tensor: "q_proj" } });
  return new RichServerError(status, `refused: ${reason}`, [info, ...more]);
}

/** Fails `times` times before, or with `late` after, the first output. */
function failing(times: number, error: Error, late = false): { script: Script; calls: () => number } {
  let calls = 0;
  const script: Script = async function* (request) {
    calls += 1;
    yield accepted(request.requestId);
    if (late) yield delta("a", 1);
    if (calls <= times) throw error;
    if (!late) yield delta("a", 1);
    yield finished(1);
  };
  return { script, calls: () => calls };
}

describe("a failure", () => {
  test("carries the server's reason and details", async () => {
    const violation = { field: "sampling.temperature", description: "is 11, but the range is 0 to 10" };
    const details = BadRequest.fromPartial({ fieldViolations: [violation] });
    const { script, calls } = failing(9, refusal(Status.INVALID_ARGUMENT, "INVALID_FIELD", details));
    const client = await connect(script);
    const error: unknown = await client.generate({ prompt: "x", adapter: "acme/a", requestId: "r-1" }).text().catch((e) => e);
    expect(error).toBeInstanceOf(PolygraftError);
    expect(error).toMatchObject({
      name: "PolygraftError",
      message: "refused: INVALID_FIELD",
      code: "INVALID_FIELD",
      status: "INVALID_ARGUMENT",
      retryable: false,
      retryAfterMs: undefined,
      fields: [violation],
      adapter: "acme/a",
      worker: "worker-1",
      requestId: "r-1",
      metadata: { tensor: "q_proj" },
    });
    expect((error as Error).cause).toBeInstanceOf(Error);
    expect(calls()).toBe(1);
  });

  test("without details has its status as code", async () => {
    const { script } = failing(9, new ServerError(Status.FAILED_PRECONDITION, "no"));
    const client = await connect(script);
    await expect(client.generate({ prompt: "x" }).text()).rejects.toMatchObject({
      code: "FAILED_PRECONDITION",
      status: "FAILED_PRECONDITION",
      message: "no",
    });
  });

  test("to reach anybody names the address", async () => {
    const server = await serveScript(async function* () {});
    server.close();
    const client = new Polygraft({ address: server.address, retry: false });
    cleanups.push(() => client.close());
    await expect(client.generate({ prompt: "x" }).text()).rejects.toMatchObject({
      code: "UNAVAILABLE",
      retryable: true,
      message: expect.stringContaining(`cannot reach a polygraft server at ${server.address}`),
    });
    await expect(client.connect({ timeoutMs: 200 })).rejects.toMatchObject({ code: "UNAVAILABLE" });
  });

  test("of a stream that ends too early is told", async () => {
    const client = await connect(async function* (request) {
      yield accepted(request.requestId);
    });
    await expect(client.generate({ prompt: "x" }).text()).rejects.toMatchObject({ code: "INCOMPLETE_STREAM" });
  });

  test("of a request that cannot be sent names the field", async () => {
    const client = await connect(async function* () {});
    const generation = client.generate({ prompt: "x", maxTokens: -1, requestId: "r-2" });
    await expect(generation.final()).rejects.toMatchObject({
      code: "INVALID_REQUEST",
      status: "INVALID_ARGUMENT",
      requestId: "r-2",
      fields: [{ field: "stopping.max_tokens" }],
    });
  });

  test("that nobody listens to does not end the process", async () => {
    const unhandled = vi.fn();
    process.on("unhandledRejection", unhandled);
    cleanups.push(() => process.off("unhandledRejection", unhandled));
    const { script } = failing(9, new ServerError(Status.INTERNAL, "boom"));
    const client = await connect(script);
    const ignored = client.generate({ prompt: "x" });
    void ignored.accepted;
    const unread = client.generate({ prompt: "x" });
    void unread.text();
    void unread.final();
    for await (const _ of client.generate({ prompt: "x" })) break;
    await client.generate({ prompt: "x" }).text().catch(() => {});
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(unhandled).not.toHaveBeenCalled();
  });
});

describe("a retry", () => {
  test("comes before the first output", async () => {
    const { script, calls } = failing(2, refusal(Status.UNAVAILABLE, "DRAINING"));
    const client = await connect(script, { retry: fast });
    const result = await client.generate({ prompt: "x" }).final();
    expect(result).toMatchObject({ text: "a", attempt: 3 });
    expect(calls()).toBe(3);
  });

  test("comes twice at most by default", async () => {
    const { script, calls } = failing(9, refusal(Status.UNAVAILABLE, "NO_WORKER"));
    const client = await connect(script, { retry: fast });
    await expect(client.generate({ prompt: "x" }).text()).rejects.toMatchObject({ code: "NO_WORKER", retryable: true });
    expect(calls()).toBe(3);
  });

  test.each([
    ["retry: false", {}, { retry: false }],
    ["failover: false", { routing: { failover: false } }, {}],
    ["no token ids", { returnTokenIds: false }, {}],
  ] as const)("never comes after it with %s", async (_, request, options) => {
    const { script, calls } = failing(9, refusal(Status.UNAVAILABLE, "WORKER_LOST"), true);
    const client = await connect(script, { retry: fast });
    await expect(client.generate({ prompt: "x", ...request }, options).text()).rejects.toMatchObject({ code: "WORKER_LOST" });
    expect(calls()).toBe(1);
  });

  test.each([
    [Status.INTERNAL, "INTERNAL"],
    [Status.DATA_LOSS, "ADAPTER_CORRUPT"],
  ] as const)("never comes after it for %i %s", async (status, reason) => {
    const { script, calls } = failing(9, refusal(status, reason), true);
    const client = await connect(script, { retry: fast });
    await expect(client.generate({ prompt: "x" }).text()).rejects.toMatchObject({ code: reason });
    expect(calls()).toBe(1);
  });

  test.for([
    [Status.INVALID_ARGUMENT, "INVALID_FIELD"],
    [Status.NOT_FOUND, "ADAPTER_NOT_FOUND"],
    [Status.RESOURCE_EXHAUSTED, "QUEUE_FULL"],
    [Status.UNAVAILABLE, "ADAPTER_NOT_READY"],
    [Status.INTERNAL, "INTERNAL"],
  ] as const)("never comes after %i %s without a word from the server", async ([status, reason]) => {
    const { script, calls } = failing(9, refusal(status, reason));
    const client = await connect(script, { retry: fast });
    await expect(client.generate({ prompt: "x" }).text()).rejects.toMatchObject({ code: reason });
    expect(calls()).toBe(1);
  });

  test("waits as long as the server asks", async () => {
    const wait = RetryInfo.fromPartial({ retryDelay: { seconds: 0, nanos: 150e6 } });
    const { script, calls } = failing(1, refusal(Status.RESOURCE_EXHAUSTED, "QUEUE_FULL", wait));
    const client = await connect(script, { retry: fast });
    const start = performance.now();
    await client.generate({ prompt: "x" }).text();
    expect(performance.now() - start).toBeGreaterThanOrEqual(149);
    expect(calls()).toBe(2);
  });

  test("is left out when the server asks for more time than there is", async () => {
    const wait = RetryInfo.fromPartial({ retryDelay: { seconds: 3600 } });
    const { script, calls } = failing(1, refusal(Status.RESOURCE_EXHAUSTED, "QUEUE_FULL", wait));
    const client = await connect(script, { retry: fast });
    const text = client.generate({ prompt: "x" }).text();
    await expect(text).rejects.toMatchObject({ code: "QUEUE_FULL", retryable: true, retryAfterMs: 3_600_000 });
    expect(calls()).toBe(1);
  });

  test("can be switched off for one call", async () => {
    const { script, calls } = failing(1, refusal(Status.UNAVAILABLE, "DRAINING"));
    const client = await connect(script, { retry: fast });
    await expect(client.generate({ prompt: "x" }, { retry: false }).text()).rejects.toMatchObject({ code: "DRAINING" });
    expect(calls()).toBe(1);
  });

  test("ends when its caller gives up", async () => {
    const wait = RetryInfo.fromPartial({ retryDelay: { seconds: 4 } });
    const { script, calls } = failing(9, refusal(Status.UNAVAILABLE, "DRAINING", wait));
    const client = await connect(script, { retry: fast });
    const generation = client.generate({ prompt: "x" });
    const text = generation.text();
    await generation.accepted;
    generation.abort();
    await expect(text).rejects.toMatchObject({ code: "CANCELLED" });
    expect(calls()).toBe(1);
  });
});
