import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** A repository as the hub serves it. */
export interface HubRepository {
  /** Commits by the branches and tags that name them. */
  readonly refs: Readonly<Record<string, string>>;
  /** Contents by path. */
  readonly files: ReadonlyMap<string, Buffer>;
}

/** Decides about one request: answers it and returns true, or leaves it to the server. */
export type Fault = (request: IncomingMessage, response: ServerResponse) => boolean;

/**
 * The part of a Hugging Face hub's HTTP interface that fetching needs: commits, file lists, files with ranges. Files
 * of more than 1 KiB are listed with their SHA-256, as those in large file storage are.
 */
export class HubServer {
  readonly repositories = new Map<string, HubRepository>();
  /** Paths that were asked for, in order. */
  readonly requests: string[] = [];
  /** Asked first for each request, while set. */
  fault: Fault | undefined;
  /** What the listed entry of a file says instead of the truth. */
  lie: { size?: number; sha256?: string } = {};
  private readonly server: Server;

  private constructor() {
    this.server = createServer((request, response) => this.answer(request, response));
  }

  static async start(): Promise<HubServer> {
    const hub = new HubServer();
    await new Promise<void>((resolve) => {
      hub.server.listen(0, "127.0.0.1", resolve);
    });
    return hub;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => {
      this.server.close(resolve);
    });
  }

  private answer(request: IncomingMessage, response: ServerResponse): void {
    const path = new URL(request.url ?? "/", "http://hub").pathname;
    this.requests.push(path);
    if (this.fault?.(request, response)) return;
    const revision = /^\/api\/models\/([^/]+\/[^/]+)\/revision\/(.+)$/.exec(path);
    const tree = /^\/api\/models\/([^/]+\/[^/]+)\/tree\/([0-9a-f]+)$/.exec(path);
    const file = /^\/([^/]+\/[^/]+)\/resolve\/([0-9a-f]+)\/(.+)$/.exec(path);
    if (revision) return this.sendCommit(response, revision[1] ?? "", decodeURIComponent(revision[2] ?? ""));
    if (tree) return this.sendTree(response, tree[1] ?? "");
    if (file) return this.sendFile(request, response, file[1] ?? "", file[3] ?? "");
    return notFound(response);
  }

  private sendCommit(response: ServerResponse, name: string, revision: string): void {
    const sha = this.repositories.get(name)?.refs[revision];
    return sha === undefined ? notFound(response) : sendJson(response, { _id: "1", id: name, sha, lastModified: "2026-01-01" });
  }

  private sendTree(response: ServerResponse, name: string): void {
    const repository = this.repositories.get(name);
    if (!repository) return notFound(response);
    const entries = Array.from(repository.files, ([path, content]) => {
      const size = this.lie.size ?? content.length;
      const oid = this.lie.sha256 ?? createHash("sha256").update(content).digest("hex");
      return { type: "file", path, size, oid: "0", ...(content.length > 1024 && { lfs: { oid, size, pointerSize: 130 } }) };
    });
    return sendJson(response, entries);
  }

  private sendFile(request: IncomingMessage, response: ServerResponse, name: string, path: string): void {
    const content = this.repositories.get(name)?.files.get(path);
    if (!content) return notFound(response, { "x-error-code": "EntryNotFound" });
    const headers = { etag: '"1"', "content-type": "application/octet-stream" };
    if (request.headers.range === "bytes=0-0") {
      response.writeHead(206, { ...headers, "content-range": `bytes 0-0/${content.length}`, "content-length": 1 });
      response.end(content.subarray(0, 1));
      return;
    }
    response.writeHead(200, { ...headers, "content-length": content.length });
    response.end(content);
  }
}

function sendJson(response: ServerResponse, value: unknown): void {
  response.writeHead(200, { "content-type": "application/json" });
  response.end(JSON.stringify(value));
}

function notFound(response: ServerResponse, headers: Record<string, string> = {}): void {
  response.writeHead(404, headers);
  response.end("not found");
}
