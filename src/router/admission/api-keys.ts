import { createHash, timingSafeEqual } from "node:crypto";
import { readFile } from "node:fs/promises";
import { Status } from "nice-grpc";
import type { Failure } from "../failure.js";

/**
 * The keys of callers, which may change while the router runs. Only their SHA-256 digests are kept, and a candidate is
 * compared with every one of them in constant time: neither memory nor timing gives a key away.
 */
export class ApiKeys {
  #digests: readonly Buffer[];
  readonly #listeners = new Set<() => void>();

  constructor(keys: Iterable<string>) {
    this.#digests = [...keys].map(digestOf);
  }

  /**
   * Reads a file with one key a line. Blank lines and lines that begin with "#" are skipped.
   *
   * @throws if the file cannot be read, or holds no key.
   */
  static async read(path: string): Promise<ApiKeys> {
    return new ApiKeys(await keysIn(path));
  }

  /**
   * Takes what the file holds now. Resolves with whether that is something else than before.
   *
   * @throws as `read` does; the keys stay as they were then.
   */
  async reload(path: string): Promise<boolean> {
    const digests = [...(await keysIn(path))].map(digestOf);
    if (digests.length === this.#digests.length && digests.every((digest, index) => digest.equals(this.#digests[index]!))) return false;
    this.#digests = digests;
    for (const listener of this.#listeners) listener();
    return true;
  }

  /** Tells a listener of every change, until the result is called. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** What callers with the key in an `authorization` header are called: the same on every router. Undefined: unknown. */
  nameOf(authorization: string): string | undefined {
    const key = bearer.exec(authorization)?.[1];
    if (key === undefined) return undefined;
    const digest = digestOf(key);
    return this.#digests.some((each) => each.equals(digest)) ? nameOf(digest) : undefined;
  }

  /** Whether the key of that name is one of them. */
  has(name: string): boolean {
    return this.#digests.some((each) => nameOf(each) === name);
  }

  /** Judges an `authorization` header. Undefined: welcome. */
  refuse(authorization: string | undefined): Failure | undefined {
    if (authorization === undefined) return unauthenticated("no API key; send the header authorization: Bearer KEY");
    const match = bearer.exec(authorization);
    if (match?.[1] === undefined) return unauthenticated('the authorization header must read "Bearer KEY"');
    const digest = digestOf(match[1]);
    let known = false;
    for (const each of this.#digests) known = timingSafeEqual(each, digest) || known;
    return known ? undefined : unauthenticated("the API key is unknown");
  }
}

/** What a caller is told whose key is none any more. */
export const withdrawn: Failure = unauthenticated("the API key was withdrawn");

const bearer = /^Bearer +(\S+)$/i;

async function keysIn(path: string): Promise<readonly string[]> {
  const lines = (await readFile(path, "utf8")).split("\n").map((line) => line.trim());
  const keys = lines.filter((line) => line !== "" && !line.startsWith("#"));
  if (keys.length === 0) throw new Error(`${path} holds no API key: write one a line`);
  return keys;
}

function digestOf(key: string): Buffer {
  return createHash("sha256").update(key).digest();
}

/** From a digest of the digest: what is written into logs and tokens says nothing about what is kept. */
function nameOf(digest: Buffer): string {
  return `key ${createHash("sha256").update(digest).digest("hex").slice(0, 12)}`;
}

function unauthenticated(message: string): Failure {
  return { status: Status.UNAUTHENTICATED, reason: "UNAUTHENTICATED", message };
}
