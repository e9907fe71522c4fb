import { createHash } from "node:crypto";
import { createWriteStream } from "node:fs";
import { join } from "node:path";
import { Readable, Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { setTimeout as delay } from "node:timers/promises";
import { fileDownloadInfo, listFiles, modelInfo, type ListFileEntry } from "@huggingface/hub";
import { Failure } from "../failure.js";
import { CONFIG_FILE, WEIGHTS_FILE } from "./content.js";
import { asHubFailure, CorruptDownload, HttpStatusError, isTransient } from "./hub-failure.js";
import { IdleTimeout } from "./idle-timeout.js";

/** How the hub is reached. */
export interface HubClientOptions {
  /** Address of the hub. Default: https://huggingface.co */
  readonly url?: string | undefined;
  /** Access token ("hf_…") for private repositories. Never written to logs or errors. */
  readonly accessToken?: string | undefined;
  /** Most bytes of an adapter's weights. Larger ones are refused before they are fetched. Default: 4 GiB. */
  readonly maxWeightBytes?: number;
  /** Longest silence of the hub, in milliseconds. Default: 30,000. */
  readonly timeoutMillis?: number;
  /** Tries of a call that fails for reasons that can pass. Default: 3. */
  readonly attempts?: number;
  /** Milliseconds before the second try; doubled for each further one. Default: 250. */
  readonly backoffMillis?: number;
}

const MAX_CONFIG_BYTES = 1024 * 1024;

/** What each call of the hub's library takes. */
interface CallOptions {
  readonly fetch: typeof fetch;
  readonly hubUrl?: string;
  readonly accessToken?: string;
}

/** Fetches adapters from a Hugging Face hub, and checks the sizes and hashes that the hub names. */
export class HubClient {
  private readonly options: HubClientOptions;
  private readonly limits: readonly (readonly [string, number])[];

  constructor(options: HubClientOptions = {}) {
    this.options = options;
    this.limits = [
      [CONFIG_FILE, MAX_CONFIG_BYTES],
      [WEIGHTS_FILE, options.maxWeightBytes ?? 4 * 1024 ** 3],
    ];
  }

  /** The commit that a branch, tag or commit of a repository stands for. */
  async commitOf(repository: string, revision: string): Promise<string> {
    return this.call(repository, async (call) => {
      const { sha } = await modelInfo({ ...call, name: repository, revision, additionalFields: ["sha"] });
      if (!/^[0-9a-f]{40}$/.test(sha)) throw new Error("the hub named no commit");
      return sha;
    });
  }

  /** Writes the two files of an adapter, as of a commit, into `directory`. */
  async download(repository: string, commit: string, directory: string): Promise<void> {
    const repo = { type: "model", name: repository } as const;
    const files = await this.call(repository, async (call) => {
      const listed = new Map<string, ListFileEntry>();
      for await (const file of listFiles({ ...call, repo, revision: commit })) listed.set(file.path, file);
      return listed;
    });
    for (const [path, limit] of this.limits) {
      const file = checked(repository, path, files.get(path), limit);
      await this.call(repository, async (call, idle) => {
        const info = await fileDownloadInfo({ ...call, repo, revision: commit, path });
        if (!info) throw new Error(`the hub lists ${path} but does not have it`);
        await this.fetchFile(await this.open(call.fetch, info.url), file, join(directory, path), idle);
      });
    }
  }

  private async open(fetch: CallOptions["fetch"], url: string): Promise<Readable> {
    const { accessToken } = this.options;
    const response = await fetch(url, accessToken ? { headers: { authorization: `Bearer ${accessToken}` } } : {});
    if (!response.ok || !response.body) throw new HttpStatusError(response.status);
    return Readable.fromWeb(response.body);
  }

  private async fetchFile(body: Readable, file: ListFileEntry, path: string, idle: IdleTimeout): Promise<void> {
    const hash = createHash("sha256");
    let bytes = 0;
    const measure = new Transform({
      transform(chunk: Buffer, _encoding, done) {
        idle.touch();
        bytes += chunk.length;
        hash.update(chunk);
        if (bytes > file.size) done(new CorruptDownload(`${file.path} has more than the ${file.size} bytes that the hub names`));
        else done(null, chunk);
      },
    });
    await pipeline(body, measure, createWriteStream(path));
    if (bytes < file.size) throw new Error(`${file.path} broke off after ${bytes} of ${file.size} bytes`);
    const expected = file.lfs?.oid;
    if (expected !== undefined && hash.digest("hex") !== expected) {
      throw new CorruptDownload(`${file.path} does not have the SHA-256 that the hub names`);
    }
  }

  /** Runs calls to the hub: bounds its silence, tries again what can pass, and says in our terms what went wrong. */
  private async call<T>(repository: string, run: (call: CallOptions, idle: IdleTimeout) => Promise<T>): Promise<T> {
    const { url, accessToken, timeoutMillis = 30_000, attempts = 3, backoffMillis = 250 } = this.options;
    for (let attempt = 1; ; attempt++) {
      const idle = new IdleTimeout(timeoutMillis);
      const watched: typeof fetch = async (input, init) => fetch(input, { ...init, signal: idle.signal });
      try {
        const call = { fetch: watched, ...(url && { hubUrl: url }), ...(accessToken && { accessToken }) };
        return await run(call, idle);
      } catch (error) {
        if (attempt >= attempts || !isTransient(error)) throw asHubFailure(repository, error);
      } finally {
        idle.stop();
      }
      await delay(backoffMillis * 2 ** (attempt - 1));
    }
  }
}

function checked(repository: string, path: string, file: ListFileEntry | undefined, limit: number): ListFileEntry {
  const refuse = (problem: string): Failure =>
    new Failure("ADAPTER_INCOMPATIBLE", `${repository}: ${problem}`, { metadata: { adapter: repository, key: path } });
  if (!file) throw refuse(`there is no ${path}, so this is no PEFT adapter in safetensors`);
  if (file.size > limit) throw refuse(`${path} has ${file.size} bytes; at most ${limit} are fetched`);
  return file;
}
