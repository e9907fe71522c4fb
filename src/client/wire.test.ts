import { createServer } from "node:http2";
import type { IncomingHttpHeaders } from "node:http2";
import type { AddressInfo } from "node:net";
import { afterEach, expect, test } from "vitest";
import { Polygraft } from "./index.js";
import type { GenerateOptions, GenerateRequest, PolygraftOptions } from "./index.js";

const cleanups: (() => void)[] = [];
afterEach(() => cleanups.splice(0).forEach((cleanup) => cleanup()));

/** The headers that arrive at a bare HTTP/2 server. */
async function headersOf(options: PolygraftOptions, request: GenerateRequest, call?: GenerateOptions): Promise<IncomingHttpHeaders> {
  const server = createServer();
  const headers = new Promise<IncomingHttpHeaders>((resolve) => {
    server.on("stream", (stream, received) => {
      resolve(received);
      stream.respond({ ":status": 200, "content-type": "application/grpc", "grpc-status": "12" }, { endStream: true });
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const client = new Polygraft({ address: `127.0.0.1:${(server.address() as AddressInfo).port}`, ...options });
  cleanups.push(() => client.close(), () => server.close());
  await client.generate(request, call).text().catch(() => {});
  return headers;
}

test("key, adapter, headers and deadline travel as headers", async () => {
  const headers = await headersOf(
    { apiKey: "secret-1", headers: { "x-team": "a", "x-app": "shop" } },
    { prompt: "x", adapter: { id: "acme/a", revision: "v3" } },
    { timeoutMs: 20_000, headers: { "x-team": "b" } },
  );
  expect(headers[":path"]).toBe("/polygraft.v1.InferenceService/Generate");
  expect(headers["authorization"]).toBe("Bearer secret-1");
  expect(headers["polygraft-adapter"]).toBe("acme/a@v3");
  expect(headers["x-team"]).toBe("b");
  expect(headers["x-app"]).toBe("shop");
  const timeout = /^(\d+)m$/.exec(String(headers["grpc-timeout"]));
  expect(Number(timeout?.[1])).toBeGreaterThan(10_000);
  expect(Number(timeout?.[1])).toBeLessThanOrEqual(20_000);
});

test("there is no deadline header without a deadline, and no adapter header for names beyond ASCII", async () => {
  const headers = await headersOf({ timeoutMs: 0 }, { prompt: "x", adapter: "über" });
  expect(headers["grpc-timeout"]).toBeUndefined();
  expect(headers["polygraft-adapter"]).toBeUndefined();
  expect(headers["authorization"]).toBeUndefined();
});

test("a key or header that cannot be sent is refused without repeating it", async () => {
  expect(() => new Polygraft({ apiKey: "secret-2\n" })).toThrow(/^(?!.*secret-2)/s);
  const client = new Polygraft({ address: "127.0.0.1:1" });
  cleanups.push(() => client.close());
  const error: unknown = await client.generate({ prompt: "x" }, { headers: { "x-token": "secret-3\n" } }).text().catch((e) => e);
  expect(error).toMatchObject({ code: "INVALID_REQUEST", fields: [{ field: "headers.x-token" }] });
  expect(JSON.stringify(error) + String(error)).not.toContain("secret-3");
});

test("address and key come from the environment by default", async () => {
  process.env["POLYGRAFT_ADDRESS"] = "nobody.invalid:7";
  cleanups.push(() => delete process.env["POLYGRAFT_ADDRESS"]);
  const client = new Polygraft();
  cleanups.push(() => client.close());
  await expect(client.generate({ prompt: "x" }, { retry: false }).text()).rejects.toThrow("nobody.invalid:7");
});
