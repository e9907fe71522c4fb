import { createServer } from "node:http2";
import type { IncomingHttpHeaders, ServerHttp2Session, ServerHttp2Stream } from "node:http2";
import type { AddressInfo } from "node:net";
import type { Router } from "../../src/router/index.js";
import { startScriptedWorker } from "./scripted-worker.js";
import type { ScriptedWorkerOptions } from "./scripted-worker.js";

/** A worker that joins as any other does, but serves by hand on HTTP/2. */
export interface RawWorker extends AsyncDisposable {
  readonly name: string;
  /** Connections open now. */
  readonly sessions: ReadonlySet<ServerHttp2Session>;
  /** Connections that were ever made. */
  readonly connections: number;
}

/** Starts a worker whose every stream goes to `onStream`. */
export async function rawWorker(
  router: Router,
  name: string,
  onStream: (stream: ServerHttp2Stream, headers: IncomingHttpHeaders, session: ServerHttp2Session) => void,
  options: Partial<ScriptedWorkerOptions> = {},
): Promise<RawWorker> {
  // It may send headers that are larger than libraries send.
  const server = createServer({ maxSendHeaderBlockLength: 2 ** 20 });
  const sessions = new Set<ServerHttp2Session>();
  let connections = 0;
  server.on("session", (session) => {
    connections += 1;
    sessions.add(session);
    session.on("error", () => {});
    session.on("close", () => sessions.delete(session));
  });
  server.on("stream", (stream, headers) => {
    stream.on("error", () => {});
    stream.resume();
    onStream(stream, headers, stream.session as ServerHttp2Session);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  const unused = () => {
    throw new Error("a raw worker serves by hand");
  };
  const worker = await startScriptedWorker({ router: router.address, name, address, script: unused, ...options });
  return {
    name,
    sessions,
    get connections() {
      return connections;
    },
    async [Symbol.asyncDispose]() {
      for (const session of sessions) session.destroy();
      server.close();
      await worker[Symbol.asyncDispose]();
    },
  };
}
