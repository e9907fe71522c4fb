import type { JoinRequest, JoinResponse } from "@polygraft/api";
import { Status } from "nice-grpc";
import type { CallContext } from "nice-grpc";
import type { TokenIssuer } from "../access/token-issuer.js";
import { invalidField, serverError } from "../failure.js";
import type { Failure } from "../failure.js";
import type { Log } from "../log.js";
import type { Timers } from "../timers.js";
import type { Fleet } from "./fleet.js";
import { checkHello } from "./hello.js";
import type { FleetMember } from "./member.js";
import { Outbox } from "./outbox.js";

/** What a router tells its workers when they join. */
export interface JoinOptions {
  /** Name of the router. */
  readonly router: string;
  /** Longest silence allowed between load samples, in milliseconds. */
  readonly heartbeatMillis: number;
  /** Whose access tokens they are to take, then and each time that its keys change. */
  readonly tokens: Pick<TokenIssuer, "accessKeys" | "onKeysChange">;
  /** Takes only workers that speak TLS. */
  readonly needsTls: boolean;
}

/** Prefetches and the like that may wait for one worker. They are hints: what is too much is not sent. */
const maxWaiting = 1024;

const fallenBehind: Failure = {
  status: Status.UNAVAILABLE,
  message: `the worker has left ${maxWaiting} messages of its router unread, and new keys had no room; join again`,
};

/** Serves one worker's stream: it is in the fleet from its greeting until the stream ends. */
export async function* serveJoin(
  requests: AsyncIterable<JoinRequest>,
  context: CallContext,
  fleet: Fleet,
  options: JoinOptions,
  timers: Timers,
  log: Log,
): AsyncGenerator<JoinResponse> {
  const outbox = new Outbox<JoinResponse>(maxWaiting);
  const session = new JoinSession(fleet, outbox, options, timers, log);
  const onAbort = () => outbox.close();
  context.signal.addEventListener("abort", onAbort, { once: true });
  session.read(requests).then(
    () => outbox.close(),
    (error: Error) => outbox.close(error),
  );
  try {
    yield* outbox;
  } finally {
    context.signal.removeEventListener("abort", onAbort);
    session.end();
  }
}

/** The reading side of a worker's stream. */
class JoinSession {
  readonly #fleet: Fleet;
  readonly #outbox: Outbox<JoinResponse>;
  readonly #options: JoinOptions;
  readonly #timers: Timers;
  readonly #log: Log;
  #member: FleetMember | undefined;
  #sequence = 0n;
  #stopTellingKeys = () => {};

  constructor(fleet: Fleet, outbox: Outbox<JoinResponse>, options: JoinOptions, timers: Timers, log: Log) {
    this.#fleet = fleet;
    this.#outbox = outbox;
    this.#options = options;
    this.#timers = timers;
    this.#log = log;
  }

  /** Applies what the worker says until it ends its side. Throws what is wrong with it. */
  async read(requests: AsyncIterable<JoinRequest>): Promise<void> {
    for await (const request of requests) {
      const failure = this.#apply(request);
      if (failure !== undefined) throw serverError(failure);
    }
  }

  /** The stream is over. */
  end(): void {
    this.#stopTellingKeys();
    if (this.#member === undefined) return;
    this.#fleet.leave(this.#member);
    this.#log.info("worker left", { worker: this.#member.name });
  }

  /** A worker that could not be told would refuse good tokens some day: it joins anew instead. */
  #tellKeys(): void {
    const told = this.#outbox.push({ message: { $case: "accessKeys", value: this.#options.tokens.accessKeys } });
    if (!told) this.#outbox.close(serverError(fallenBehind));
  }

  #apply(request: JoinRequest): Failure | undefined {
    this.#sequence += 1n;
    if (request.sequence !== this.#sequence) {
      return invalidField("sequence", `is ${request.sequence} where ${this.#sequence} is due`);
    }
    const { message } = request;
    if (this.#member === undefined) {
      if (message?.$case !== "hello") return invalidField("hello", "must be the first message");
      const failure = checkHello(message.value, this.#options);
      if (failure !== undefined) return failure;
      const expel = (reason: Failure) => this.#outbox.close(serverError(reason));
      this.#member = this.#fleet.join(message.value, expel, this.#timers.now());
      this.#member.tell = (message) => void this.#outbox.push(message);
      this.#log.info("worker joined", { worker: message.value.name, address: message.value.address });
      const { router, heartbeatMillis, tokens } = this.#options;
      const resumeAfter = this.#member.holdings.number;
      this.#outbox.push({ message: { $case: "welcome", value: { router, heartbeatMillis, resumeAfter } } });
      this.#tellKeys();
      this.#stopTellingKeys = tokens.onKeysChange(() => this.#tellKeys());
      return undefined;
    }
    const member = this.#member;
    switch (message?.$case) {
      case "residency":
        return this.#fleet.hold(member, message.value, this.#timers.now());
      case "load":
        this.#fleet.load(member, message.value, this.#timers.now());
        return undefined;
      case "warmed":
        this.#fleet.warmed(member, this.#timers.now());
        return undefined;
      case "draining":
        if (message.value.handOver === true) {
          this.#fleet.handOver(member, this.#timers.now());
          return undefined;
        }
        this.#log.info("worker drains", { worker: member.name, reason: message.value.reason.slice(0, 256) });
        this.#fleet.drain(member, this.#timers.now());
        return undefined;
      case "hello":
        return invalidField("hello", "must come only once");
      case undefined:
        // A message of a newer worker: unknown kinds are skipped, so that versions can mix.
        return undefined;
    }
  }
}
