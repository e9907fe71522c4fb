import { Worker } from "node:worker_threads";

/** What the thread is started with. */
export interface EncodeThreadData {
  /** Folder of the model. */
  readonly directory: string;
}

/** What the thread is asked. */
export interface EncodeTask {
  readonly id: number;
  readonly text: string;
  /** Whether a chat template has put the special tokens already. */
  readonly rendered: boolean;
}

interface Answer {
  readonly id: number;
  readonly ids: Uint32Array;
}

interface Waiting {
  resolve(ids: Uint32Array): void;
  reject(error: Error): void;
}

// Threads load what was built: when this module runs from its sources, as in tests, the loader of those is not theirs.
const ENTRY = new URL(import.meta.url.endsWith(".ts") ? "../../dist/tokenizer/encode-thread.js" : "./encode-thread.js", import.meta.url);

/**
 * Tokenizes long texts on a thread of its own, one after another, so that other requests' tokens do not wait for them: a
 * megabyte takes about a second. The thread starts with the first long text and does not keep the process alive.
 */
export class ThreadEncoder {
  private readonly directory: string;
  private readonly waiting = new Map<number, Waiting>();
  private thread: Worker | undefined;
  private lastId = 0;

  /** `directory`: folder of the model. */
  constructor(directory: string) {
    this.directory = directory;
  }

  /** The token ids of a text. */
  async encode(text: string, rendered: boolean): Promise<Uint32Array> {
    this.thread ??= this.start();
    const { thread } = this;
    const id = ++this.lastId;
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject });
      // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread is no window
      thread.postMessage({ id, text, rendered } satisfies EncodeTask);
    });
  }

  /** Stops the thread. Texts that wait are rejected. */
  async close(): Promise<void> {
    await this.thread?.terminate();
  }

  private start(): Worker {
    const workerData: EncodeThreadData = { directory: this.directory };
    const thread = new Worker(ENTRY, { workerData });
    thread.unref();
    thread.on("message", ({ id, ids }: Answer) => {
      this.waiting.get(id)?.resolve(ids);
      this.waiting.delete(id);
    });
    // An error ends the thread; the next long text starts another one.
    thread.on("error", (error: Error) => this.fail(error));
    thread.on("exit", () => this.fail(new Error("the tokenizer's thread has ended")));
    return thread;
  }

  private fail(error: Error): void {
    this.thread = undefined;
    for (const { reject } of this.waiting.values()) reject(error);
    this.waiting.clear();
  }
}
