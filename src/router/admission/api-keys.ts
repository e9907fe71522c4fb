import { createHash, timingSafeEqual } from "node:crypto";
import { readFile } from "node:fs/promises";
import { Status } from "nice-grpc";
import type { Failure } from "../failure.js";

/**
 * The keys of callers. Only their SHA-256 digests are kept, and a candidate is compared with every one of them in
 * constant time: neither memory nor timing gives a key away.
 */
export class ApiKeys {
  readonly #digests: readonly Buffer[];

  constructor(keys: Iterable<string>) {
    this.#digests = [...keys].map(digestOf);
  }

  /**
   * Reads a file with one key a line. Blank lines and lines that begin with "#" are skipped.
   *
   * @throws if the file cannot be read, or holds no key.
   */
  static async read(path: string): Promise<ApiKeys> {
    const lines = (await readFile(path, "utf8")).split("\n").map((line) => line.trim());
    const keys = lines.filter((line) => line !== "" && !line.startsWith("#"));
    if (keys.length === 0) throw new Error(`${path} holds no API key: write one a line`);
    return new ApiKeys(keys);
  }

  /** The number of the key in an `authorization` header, to tell callers apart. -1: unknown. */
  indexOf(authorization: string): number {
    const key = bearer.exec(authorization)?.[1];
    if (key === undefined) return -1;
    const digest = digestOf(key);
    return this.#digests.findIndex((each) => each.equals(digest));
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

const bearer = /^Bearer +(\S+)$/i;

function digestOf(key: string): Buffer {
  return createHash("sha256").update(key).digest();
}

function unauthenticated(message: string): Failure {
  return { status: Status.UNAUTHENTICATED, reason: "UNAUTHENTICATED", message };
}
