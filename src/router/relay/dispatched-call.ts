import type { OutgoingHttpHeaders } from "node:http2";
import { Status } from "nice-grpc";
import { invalidField, isFailure } from "../failure.js";
import type { Failure } from "../failure.js";
import type { Timers } from "../timers.js";
import type { ByteBudget } from "./byte-budget.js";
import type { ClientCall } from "./client-call.js";
import { formatGrpcTimeout } from "./grpc-timeout.js";
import { passedOn, single } from "./headers.js";
import type { Dispatch, Route, Target } from "./relay.js";
import { framed, noMessage, RequestReader, tooManyMessages, unframed } from "./request-reader.js";
import { ResponseGate } from "./response-gate.js";
import type { SessionPool } from "./session-pool.js";
import { reasonOf, statusDetailsHeader } from "./status-details.js";
import type { Turns } from "./turns.js";
import { UpstreamCall } from "./upstream-call.js";
import type { Answer } from "./upstream-call.js";

/** What dispatched calls share. */
export interface DispatchEnvironment {
  readonly pool: SessionPool;
  /** Largest request message, in bytes. */
  readonly maxMessageBytes: number;
  /** Memory for request messages that may have to be sent again. */
  readonly budget: ByteBudget;
  /** Milliseconds until a request message has to be there. */
  readonly requestTimeoutMillis: number;
  /** Request headers that stay here, such as credentials. */
  readonly drop: ReadonlySet<string>;
  readonly timers: Timers;
  /** In which calls are begun. */
  readonly turns: Turns;
  readonly onBug: (error: unknown) => void;
}

/** What a client is told when the router fails it. */
export const bug: Failure = {
  status: Status.INTERNAL,
  reason: "INTERNAL",
  message: "the router failed at this call; see its log",
};

/**
 * One call with one request message and a stream of responses.
 *
 * Until a target's first output passes the `ResponseGate`, a target that is lost, or refuses in a way that
 * `Route.movesOn` accepts, is replaced by the next one and the client notices nothing. From then on the next one is
 * asked for what the client has not got yet, if the route has a `Continuation`; else the call stands and falls with its
 * target.
 */
export class DispatchedCall {
  readonly #client: ClientCall;
  readonly #dispatch: Dispatch;
  readonly #environment: DispatchEnvironment;
  /** Collects the request. Undefined once it is complete. */
  #reader: RequestReader | undefined;
  /** The request as it is sent. Undefined when it is not there yet, or will not be needed again. */
  #request: Buffer | undefined;
  #heldBytes = 0;
  #stopWaiting = () => {};
  #upstream: UpstreamCall | undefined;
  /** Whether the client has got response headers. */
  #committed = false;
  #over = false;

  constructor(client: ClientCall, dispatch: Dispatch, environment: DispatchEnvironment) {
    this.#client = client;
    this.#dispatch = dispatch;
    this.#environment = environment;
    this.#reader = new RequestReader(environment.maxMessageBytes);
  }

  /** Begins to read the request. */
  start(): void {
    const { requestTimeoutMillis, timers } = this.#environment;
    this.#stopWaiting = timers.after(requestTimeoutMillis, () => this.#fail(tooSlow(requestTimeoutMillis)));
    this.#client.start({
      data: (chunk) => this.#read(chunk),
      end: () => this.#reader !== undefined && this.#fail(noMessage),
      writable: () => this.#upstream?.resume(),
      cancelled: () => this.#end(Status.CANCELLED),
      expired: () => this.#end(Status.DEADLINE_EXCEEDED),
    });
  }

  #read(chunk: Buffer): void {
    if (chunk.length === 0) return;
    const reader = this.#reader;
    if (reader === undefined) return this.#fail(tooManyMessages);
    const failure = this.#hold(chunk.length) ?? reader.push(chunk);
    if (failure !== undefined) return this.#fail(failure);
    if (!reader.complete) return;
    this.#reader = undefined;
    this.#stopWaiting();
    const encoding = single(this.#client.head.headers, "grpc-encoding") ?? "identity";
    const message = reader.message(encoding);
    if (message instanceof Promise) void message.then((inflated) => this.#planSoon(inflated));
    else this.#planSoon(message);
  }

  /** Not at once: what has begun goes before what comes new. */
  #planSoon(message: Buffer | Failure): void {
    this.#environment.turns.add(() => {
      try {
        this.#plan(message);
      } catch (error) {
        this.#environment.onBug(error);
        this.#fail(bug);
      }
    });
  }

  #plan(message: Buffer | Failure): void {
    if (this.#over) return;
    if (!Buffer.isBuffer(message)) return this.#fail(message);
    let route: Route | Failure;
    try {
      route = this.#dispatch.route(message);
    } catch {
      return this.#fail(invalidField("request", "the message is not valid protobuf of the method's request type"));
    }
    if (isFailure(route)) return this.#fail(route);
    const request = framed(message, route.appended);
    const tooMuch = this.#hold(request.length - this.#heldBytes);
    if (tooMuch !== undefined) return this.#fail(tooMuch);
    this.#request = request;
    this.#dispatch.admit({
      millisLeft: () => this.#client.millisLeft,
      granted: () => this.#tryNext(route, undefined),
      refused: (failure) => this.#fail(failure),
    });
  }

  /** `last` is what the target before said; it is the client's answer when nobody else is left. */
  #tryNext(route: Route, last: { readonly target: Target; readonly answer: Answer } | undefined): void {
    const next = route.next();
    if (!isFailure(next)) return this.#attempt(route, next, this.#request, false);
    if (last === undefined) return this.#fail(next, route);
    this.#client.finish({ ...last.answer.trailers, ...route.failureTrailers }, route.responseHeaders(last.target));
    this.#end(last.answer.status, last.target);
  }

  /** After output: another target goes on. Otherwise the result says why none does. */
  #goOn(route: Route): string | undefined {
    const rest = this.#request && route.continuation?.remainder(unframed(this.#request));
    if (rest === undefined) return "the rest of the stream cannot be asked for";
    const next = route.next();
    if (isFailure(next)) return next.message;
    this.#attempt(route, next, framed(rest), true);
    return undefined;
  }

  #attempt(route: Route, target: Target, request: Buffer | undefined, goesOn: boolean): void {
    const gate = new ResponseGate(this.#dispatch.preambleTag, !goesOn);
    let head: OutgoingHttpHeaders = {};
    const pass = (bytes: Buffer) => {
      if (!gate.open) return;
      if (!this.#committed) this.#commit(route, { ...head, ...route.responseHeaders(target) });
      if (bytes.length === 0) return;
      route.continuation?.delivered(bytes);
      if (!this.#client.write(bytes)) this.#upstream?.pause();
    };
    this.#upstream = new UpstreamCall(this.#environment.pool, target.address, this.#requestHeaders(route), {
      head: (received) => {
        head = received;
      },
      data: (chunk) => pass(gate.push(chunk)),
      writable: () => {},
      finished: (answer) => {
        this.#upstream = undefined;
        const reason = answer.status === Status.OK ? undefined : reasonOf(detailsOf(answer));
        route.concluded({ status: answer.status, reason });
        const moves = route.movesOn(answer.status, reason);
        if (moves && !this.#committed) return this.#tryNext(route, { target, answer });
        const refused = goesOn && !gate.open && answer.status !== Status.OK;
        if (moves || refused) {
          const why = this.#goOn(route);
          if (why === undefined) return;
          if (refused) return this.#lose(route, target, `it did not go on with the stream: status ${answer.status}; ${why}`);
        }
        if (answer.status === Status.OK || gate.open) {
          pass(gate.release());
          if (gate.torn && answer.status === Status.OK) return this.#lose(route, target, "its last message is torn");
        }
        const more = answer.status === Status.OK ? {} : route.failureTrailers;
        this.#client.finish({ ...answer.trailers, ...more }, { ...head, ...route.responseHeaders(target) });
        this.#end(answer.status, target);
      },
      lost: (cause) => {
        this.#upstream = undefined;
        route.concluded(undefined);
        if (!this.#committed) return this.#tryNext(route, undefined);
        const why = this.#goOn(route);
        if (why !== undefined) this.#lose(route, target, `${cause}; ${why}`);
      },
    });
    this.#upstream.end(request);
  }

  #requestHeaders(route: Route): OutgoingHttpHeaders {
    const { head, millisLeft } = this.#client;
    const headers = passedOn(head.headers, this.#environment.drop);
    delete headers["grpc-encoding"];
    Object.assign(headers, route.headers, { ":method": "POST", ":path": head.path, te: "trailers" });
    if (millisLeft !== undefined) headers["grpc-timeout"] = formatGrpcTimeout(millisLeft);
    return headers;
  }

  /** The first output is on its way: the request will be needed only to go on elsewhere. */
  #commit(route: Route, headers: OutgoingHttpHeaders): void {
    this.#committed = true;
    this.#client.respond(headers);
    if (route.continuation === undefined || this.#environment.budget.crowded) this.#releaseRequest();
  }

  #lose(route: Route, target: Target, cause: string): void {
    const failure = route.lost(target, cause);
    this.#client.fail(failure, route.failureTrailers);
    this.#end(failure.status, target);
  }

  #fail(failure: Failure, route?: Route): void {
    this.#client.fail(failure, route?.failureTrailers);
    this.#end(failure.status);
  }

  #end(status: number, target?: Target): void {
    if (this.#over) return;
    this.#over = true;
    this.#stopWaiting();
    this.#upstream?.cancel();
    this.#releaseRequest();
    this.#dispatch.ended(target === undefined ? { status } : { status, target });
  }

  /** Counts bytes of the request to the common bound; less than none gives some back. */
  #hold(bytes: number): Failure | undefined {
    if (!this.#environment.budget.take(bytes)) return overBudget;
    this.#heldBytes += bytes;
    return undefined;
  }

  #releaseRequest(): void {
    this.#reader = undefined;
    this.#request = undefined;
    this.#environment.budget.give(this.#heldBytes);
    this.#heldBytes = 0;
  }
}

const overBudget: Failure = {
  status: Status.RESOURCE_EXHAUSTED,
  reason: "QUEUE_FULL",
  message: "too many bytes of requests are waiting in the router; try again",
  retryAfterMillis: 1000,
};

function tooSlow(millis: number): Failure {
  return {
    status: Status.DEADLINE_EXCEEDED,
    message: `the request message was not complete within ${millis} ms of the call's beginning`,
  };
}

function detailsOf(answer: Answer): string | undefined {
  const details = answer.trailers[statusDetailsHeader];
  return typeof details === "string" ? details : undefined;
}
