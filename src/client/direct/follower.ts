import { DirectServiceDefinition } from "@polygraft/api";
import type { AccessToken, FollowRequest, FollowResponse } from "@polygraft/api";
import { errorFromCall } from "../error-from-status.js";
import type { PolygraftError } from "../error.js";
import { callMetadata } from "../metadata.js";
import type { Headers } from "../metadata.js";
import { sleep } from "../retry.js";
import { method } from "../transport.js";
import type { BidiStream } from "../transport.js";
import type { Transports } from "../transports.js";
import type { FleetView } from "./fleet-view.js";

const follow = method<FollowRequest, FollowResponse>(DirectServiceDefinition, DirectServiceDefinition.methods.follow);

/** Adapters that a router is asked about. It takes four times as many. */
const maxAdapters = 1024;

/** Waits before a lost stream is opened anew, in milliseconds: doubled from the first to the last. */
const backoffMs = { first: 100, last: 5_000 };

/** The same after a refusal that will hardly change, such as by a router that is older than direct mode. */
const refusedMs = 60_000;

/** Time without a call until the stream is ended, in milliseconds: it would keep the program alive. */
const idleMs = 30_000;

/** How long before its end a token is not used any more, in milliseconds: it has to travel. */
const tokenMarginMs = 500;

/** `setTimeout` fires at once beyond this. */
const longestTimeoutMs = 2 ** 31 - 1;

const refusals: ReadonlySet<string> = new Set(["UNIMPLEMENTED", "UNAUTHENTICATED", "PERMISSION_DENIED", "INVALID_ARGUMENT"]);

/** Keeps a view of the fleet up to date, and a token at hand, for as long as there are calls. */
export class Follower {
  readonly #transports: Transports;
  readonly #headers: readonly (Headers | undefined)[];
  readonly #view: FleetView;
  /** The one used least recently first. */
  readonly #adapters = new Set<string>();
  readonly #waiting = new Set<() => void>();
  #token: { readonly text: string; readonly expiresAt: number } | undefined;
  #stop: AbortController | undefined;
  #stream: BidiStream<FollowRequest, FollowResponse> | undefined;
  #lost = false;
  #calls = 0;
  #idle: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(transports: Transports, headers: readonly (Headers | undefined)[], view: FleetView) {
    this.#transports = transports;
    this.#headers = headers;
    this.#view = view;
  }

  /** A token that workers take. Undefined: there is none now. */
  get token(): string | undefined {
    const token = this.#token;
    return token !== undefined && performance.now() < token.expiresAt ? token.text : undefined;
  }

  /** A call begins. The result is to be called once, when it is over. */
  begin(): () => void {
    this.#calls += 1;
    clearTimeout(this.#idle);
    if (this.#stop === undefined && !this.#closed) {
      this.#lost = false;
      void this.#follow((this.#stop = new AbortController()));
    }
    return () => {
      this.#calls -= 1;
      if (this.#calls === 0 && !this.#closed) this.#idle = setTimeout(() => this.#end(), idleMs).unref();
    };
  }

  /**
   * Waits until the fleet and that adapter are known and there is a token; but not for a router that cannot be reached,
   * and not beyond `deadline`, on the clock of `performance.now()`. False: there is no placing requests now.
   */
  async ready(adapter: string | undefined, deadline: number, signal: AbortSignal): Promise<boolean> {
    if (adapter !== undefined) this.#want(adapter);
    for (;;) {
      if (this.token !== undefined && this.#view.knows(adapter)) return true;
      const left = deadline - performance.now();
      if (this.#lost || this.#stop === undefined || left <= 0 || signal.aborted) return false;
      await this.#change(left, signal);
    }
  }

  /** A worker did not take that token: asks for another one. */
  refused(token: string): void {
    if (this.#token?.text !== token) return;
    this.#token = undefined;
    this.#stream?.cancel();
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#idle);
    this.#end();
  }

  #end(): void {
    this.#stop?.abort();
    this.#stop = undefined;
    this.#token = undefined;
    this.#wake();
  }

  async #follow({ signal }: AbortController): Promise<void> {
    for (let failures = 0; !signal.aborted; failures++) {
      const transport = this.#transports.current;
      let error: PolygraftError | undefined;
      try {
        const metadata = callMetadata(this.#headers);
        const stream = transport.bidiStream(follow, { metadata, deadline: Infinity, signal });
        this.#stream = stream;
        stream.send({ adapterIds: [...this.#adapters], forgottenIds: [] });
        for await (const response of stream.responses) {
          failures = 0;
          this.#lost = false;
          if (response.message?.$case === "token") this.#keep(response.message.value);
          this.#view.apply(response);
          this.#wake();
        }
      } catch (failure) {
        error = errorFromCall(failure, { address: transport.address.target });
      }
      this.#stream = undefined;
      if (signal.aborted) return;
      if (error !== undefined) this.#transports.turnFrom(transport, error);
      const isRefusal = error !== undefined && refusals.has(error.status);
      // A stream that was cancelled for another token is no failure: whoever waits for the token goes on waiting.
      this.#lost = this.token !== undefined || isRefusal || failures > 0;
      this.#wake();
      const bound = Math.min(backoffMs.first * 2 ** failures, backoffMs.last);
      await sleep(isRefusal ? refusedMs : bound * (0.5 + Math.random() / 2), signal).catch(() => {});
    }
  }

  #keep({ token, validMillis }: AccessToken): void {
    this.#token = { text: token, expiresAt: performance.now() + validMillis - tokenMarginMs };
  }

  #want(adapter: string): void {
    const isKnown = this.#adapters.delete(adapter);
    this.#adapters.add(adapter);
    if (isKnown) return;
    const forgottenIds: string[] = [];
    if (this.#adapters.size > maxAdapters) {
      const [oldest = ""] = this.#adapters;
      this.#adapters.delete(oldest);
      this.#view.forget(oldest);
      forgottenIds.push(oldest);
    }
    this.#stream?.send({ adapterIds: [adapter], forgottenIds });
  }

  #wake(): void {
    for (const wake of this.#waiting) wake();
  }

  async #change(ms: number, signal: AbortSignal): Promise<void> {
    await new Promise<void>((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        this.#waiting.delete(done);
        signal.removeEventListener("abort", done);
        resolve();
      };
      const timer = setTimeout(done, Math.min(ms, longestTimeoutMs));
      this.#waiting.add(done);
      signal.addEventListener("abort", done, { once: true });
    });
  }
}
