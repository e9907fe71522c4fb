import { GenerateRequest, OnMiss } from "@polygraft/api";
import { ErrorInfo, RichServerError } from "nice-grpc-error-details";
import { Status } from "nice-grpc";
import { afterEach, describe, expect, test } from "vitest";
import { accepted, delta, finished, serveScript } from "../../test/support/scripted-service.js";
import type { Script, TestServer } from "../../test/support/scripted-service.js";
import { Polygraft } from "./index.js";

const cleanups: (() => void)[] = [];
afterEach(() => cleanups.splice(0).forEach((cleanup) => cleanup()));

const lost = new RichServerError(Status.UNAVAILABLE, "lost", [ErrorInfo.fromPartial({ reason: "WORKER_LOST", domain: "polygraft" })]);
const retry = { initialBackoffMs: 1 };

/** Says token after token of "abcdef" from the resume point on; each call loses its worker after `portion` of them. */
function inPortions(portion: number, requests: GenerateRequest[] = []): Script {
  return async function* (request) {
    requests.push(request);
    const from = request.resume?.tokenIds.length ?? 0;
    yield accepted(request.requestId);
    for (let token = from; token < Math.min(6, from + portion); token++) yield delta("abcdef"[token]!, token);
    if (from + portion < 6) throw lost;
    yield finished(6);
  };
}

async function serve(script: Script): Promise<TestServer> {
  const server = await serveScript(script);
  cleanups.push(() => server.close());
  return server;
}

function clientOf(...servers: readonly TestServer[]): Polygraft {
  const client = new Polygraft({ address: servers.map(({ address }) => address), retry });
  cleanups.push(() => client.close());
  return client;
}

describe("a stream that breaks off", () => {
  test("goes on where it was, and its consumer sees one stream", async () => {
    const requests: GenerateRequest[] = [];
    const client = clientOf(await serve(inPortions(2, requests)));
    const types: string[] = [];
    const generation = client.generate({ prompt: "x", adapter: "a", onMiss: "base" });
    for await (const { type } of generation) types.push(type);
    expect(types).toEqual(["accepted", ...Array.from({ length: 6 }, () => "delta"), "finished"]);
    expect(await generation.final()).toMatchObject({ text: "abcdef", tokenIds: [0, 1, 2, 3, 4, 5], attempt: 1 });
    expect(requests.map(({ resume }) => resume)).toEqual([
      undefined,
      { tokenIds: [0, 1], textBytes: 2 },
      { tokenIds: [0, 1, 2, 3], textBytes: 4 },
    ]);
    expect(requests[1]).toMatchObject({ sampling: { seed: 7n }, onMiss: OnMiss.WAIT, requestId: requests[0]!.requestId });
  });

  test("after tokens that its caller brought along, goes on after both", async () => {
    const requests: GenerateRequest[] = [];
    const client = clientOf(await serve(inPortions(2, requests)));
    const resume = { tokenIds: [0, 1], textBytes: 2 };
    expect(await client.generate({ prompt: "x", seed: 7, resume }).text()).toBe("cdef");
    expect(requests[1]?.resume).toEqual({ tokenIds: [0, 1, 2, 3], textBytes: 4 });
  });

  test("is given up once another adapter content has taken over: nobody could go on with both", async () => {
    const requests: GenerateRequest[] = [];
    const identity = { id: "a", revision: "", digest: "sha256:new" };
    const script: Script = async function* (request) {
      requests.push(request);
      yield accepted(request.requestId);
      yield delta("a", 0);
      yield { event: { $case: "adapterChanged", value: { adapter: identity, outputTokens: 1 } } };
      yield delta("b", 1);
      throw lost;
    };
    const generation = clientOf(await serve(script)).generate({ prompt: "x", adapter: "a" });
    const seen: unknown[] = [];
    const outcome = (async () => {
      for await (const event of generation) seen.push(event.type === "adapter-changed" ? event : event.type);
    })();
    await expect(outcome).rejects.toMatchObject({ code: "WORKER_LOST" });
    expect(seen).toEqual(["accepted", "delta", { type: "adapter-changed", adapter: identity, outputTokens: 1 }, "delta"]);
    expect(requests).toHaveLength(1);
  });

  test("is given up after two tries without further output", async () => {
    const requests: GenerateRequest[] = [];
    const script: Script = async function* (request, context) {
      if (request.resume !== undefined) {
        requests.push(request);
        throw lost;
      }
      yield* inPortions(2)(request, context);
    };
    const client = clientOf(await serve(script));
    await expect(client.generate({ prompt: "x" }).text()).rejects.toMatchObject({ code: "WORKER_LOST" });
    expect(requests).toHaveLength(2);
  });
});

describe("several routers", () => {
  test("a stream goes on at the next one when its own is lost in mid-stream", async () => {
    const requests: GenerateRequest[] = [];
    const first = await serve(async function* (request, { signal }) {
      yield accepted(request.requestId);
      yield delta("a", 0);
      await new Promise((resolve) => signal.addEventListener("abort", resolve));
    });
    const client = clientOf(first, await serve(inPortions(6, requests)));
    let text = "";
    for await (const piece of client.generate({ prompt: "x" }).textStream()) {
      text += piece;
      if (text === "a") first.close();
    }
    expect(text).toBe("abcdef");
    expect(requests.map(({ resume }) => resume)).toEqual([{ tokenIds: [0], textBytes: 1 }]);
    // The next one stays in use.
    await client.generate({ prompt: "x" }).text();
    expect(requests).toHaveLength(2);
  });

  test("one that is there is enough to connect, and to call", async () => {
    const gone = await serve(inPortions(6));
    gone.close();
    const client = clientOf(gone, await serve(inPortions(6)));
    expect(await client.generate({ prompt: "x" }).text()).toBe("abcdef");
    const other = clientOf(gone, await serve(inPortions(6)));
    await other.connect();
    expect(await other.generate({ prompt: "x" }, { retry: false }).text()).toBe("abcdef");
  });

  test("none at all is refused, and all that cannot be reached are named", async () => {
    expect(() => new Polygraft({ address: [] })).toThrow("no address");
    const gone = await Promise.all([serve(inPortions(6)), serve(inPortions(6))]);
    for (const server of gone) server.close();
    const failure = clientOf(...gone).connect({ timeoutMs: 200 });
    await expect(failure).rejects.toThrow(gone.map(({ address }) => address).join(", "));
  });
});
