import type { JoinRequest, JoinResponse } from "@polygraft/api";
import { until } from "../until.js";

/** The ports of the processes that share an address. */
export class ProcessPorts {
  /** The one of this process. There it takes workers in; at the shared one it shows them the way. */
  own = 0;
  readonly #listeners = new Set<() => void>();
  #ports: readonly number[] = [];
  #version = 0;

  /** Says what they are now, even if that is what they were: a process that had ended may be there again. */
  set(ports: readonly number[]): void {
    this.#ports = ports;
    this.#version += 1;
    for (const listener of this.#listeners) listener();
  }

  /** Shows a worker that came to the shared address the way to all processes, now and whenever they change. */
  async *show(requests: AsyncIterable<JoinRequest>, signal: AbortSignal): AsyncGenerator<JoinResponse> {
    const ended = new AbortController();
    const either = AbortSignal.any([signal, ended.signal]);
    void skip(requests).finally(() => ended.abort());
    let told = 0;
    while (!either.aborted) {
      if (told === this.#version) {
        await until(either, (done) => this.#listen(done));
        continue;
      }
      told = this.#version;
      yield { message: { $case: "processes", value: { ports: [...this.#ports] } } };
    }
  }

  #listen(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}

/** What the worker says is for the processes. How it ends does not matter. */
async function skip(requests: AsyncIterable<JoinRequest>): Promise<void> {
  try {
    for await (const _ of requests);
  } catch {
    // The worker has gone.
  }
}
