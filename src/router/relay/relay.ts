import type { IncomingHttpHeaders } from "node:http2";
import type { Socket } from "node:net";
import type { Failure } from "../failure.js";

/**
 * The data plane: takes gRPC calls in and passes them on as bytes. What goes where is the policy's business; how bytes
 * travel is the relay's. `node:http2` is the first implementation.
 */
export interface Relay {
  /** Starts to accept. Port 0 takes a free one. Rejects when the address is taken. */
  listen(host: string, port: number): Promise<{ readonly host: string; readonly port: number }>;
  /** Takes a client's connection that was accepted elsewhere. */
  accept(socket: Socket): void;
  /** Accepts nothing new and lets running calls end; those that are left after `millis` are reset. */
  drain(millis: number): Promise<void>;
  /** Lets go of the connections to a target that is gone. Calls that still run there end first. */
  forget(address: string): void;
  /** Cuts the connections to a target that hangs: its calls are lost, and go on elsewhere where they can. */
  abandon(address: string): void;
  /** Ends everything now. */
  close(): Promise<void>;
}

/** A process that calls are passed on to. */
export interface Target {
  /** Its stable name. */
  readonly name: string;
  /** "host:port", "https://host:port" (TLS) or "unix:/path". */
  readonly address: string;
}

/** What is known of a call once its headers are in. */
export interface CallHead {
  /** "/package.Service/Method". */
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  /** Address of whoever calls, without the port. "": unknown. */
  readonly peer: string;
  /** The port at which it came in. 0: unknown. */
  readonly port: number;
}

/** Decides about calls. Called on the hot path: nothing here waits. */
export interface CallPolicy {
  /** Where a call goes, from its headers alone. */
  receive(call: CallHead): Reception;
}

/** What becomes of a call. */
export type Reception = Refusal | Passage | Dispatch;

/** Answers with a failure. */
export interface Refusal {
  readonly kind: "refuse";
  readonly failure: Failure;
}

/** Passes a call of any kind to one target, byte by byte, both ways. */
export interface Passage {
  readonly kind: "pass";
  readonly target: Target;
  /** Request headers to set, over those of the client. */
  readonly headers: Readonly<Record<string, string>>;
}

/** Reads the call's one request message, then tries targets until one of them begins to answer. */
export interface Dispatch {
  readonly kind: "dispatch";
  /** First byte of response messages that say only that the request was taken. See `ResponseGate`. */
  readonly preambleTag: number;
  /** Plans the call. `message` is the request without its gRPC prefix, uncompressed. Called at most once. */
  route(message: Buffer): Route | Failure;
  /** Asks for a place in which to run. Called once, after `route`. */
  admit(waiter: Waiter): void;
  /** The call is over, whatever became of it. Called exactly once. */
  ended(outcome: Outcome): void;
}

/** A call that wants a place. One of the two is called, perhaps at once, and neither after the call is over. */
export interface Waiter {
  /** Milliseconds until the call's deadline. Undefined: it has none. */
  millisLeft(): number | undefined;
  granted(): void;
  refused(failure: Failure): void;
}

/** The plan of one call. */
export interface Route {
  /** Bytes to send after the request message: protobuf fields that the client left out. */
  readonly appended: Uint8Array;
  /** Request headers to set, over those of the client. */
  readonly headers: Readonly<Record<string, string>>;
  /** The next target, never a process that was named before, or why there is none. */
  next(): Target | Failure;
  /** Lets another target go on where one was lost in mid-stream. Absent: the call stands and falls with its target. */
  readonly continuation?: Continuation;
  /** Hears how the call at the last target ended: with this answer, or, undefined, without one. */
  concluded(answer: { readonly status: number; readonly reason: string | undefined } | undefined): void;
  /** Whether another target may do better than one that refused with this status and reason. */
  movesOn(status: number, reason: string | undefined): boolean;
  /** Response headers to set for a client that this target answers. */
  responseHeaders(target: Target): Readonly<Record<string, string>>;
  /** Trailers to set, over those of the target, where the call fails. */
  readonly failureTrailers: Readonly<Record<string, string>>;
  /** What a client is told whose target was lost after its answer had begun. */
  lost(target: Target, cause: string): Failure;
}

/** Knows what a client has got of a stream, and how to ask another target for the rest. */
export interface Continuation {
  /** Response messages on their way to the client, in order: whole ones, and the portions of long ones. */
  delivered(messages: Buffer): void;
  /** The request for the rest of what `message` asked for. Undefined: it cannot be asked for. */
  remainder(message: Buffer): Buffer | undefined;
}

/** How a dispatched call ended. */
export interface Outcome {
  /** gRPC status as the client got it, or 1 (CANCELLED) if the client left. */
  readonly status: number;
  /** Whose answer the client got, if anybody's. */
  readonly target?: Target;
}

