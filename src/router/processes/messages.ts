import type { LogFields } from "../log.js";

/** The name of the environment variable in which a process finds its `Seat`. */
export const seatVariable = "POLYGRAFT_ROUTER_PROCESS";

/** What a process is told when it is started. */
export interface Seat {
  /** Its number, from 1. */
  readonly number: number;
  /** Its own port; 0 takes a free one. */
  readonly port: number;
  /** It takes the place of one that ended: workers know its port, and clients have others meanwhile. */
  readonly again: boolean;
}

/** From a process to the one that started it. */
export type FromProcess =
  /** Workers can join it at this port. */
  | { readonly kind: "joinable"; readonly port: number }
  /** It takes clients. */
  | { readonly kind: "open" }
  /** It has a connection that it was given. */
  | { readonly kind: "taken"; readonly connection: number };

/** To a process. */
export type ToProcess =
  /** The ports of all. */
  | { readonly kind: "ports"; readonly ports: readonly number[] }
  /** A client's connection, which comes along. */
  | { readonly kind: "connection"; readonly connection: number };

/** The seat of this process, if it was started as one of several. */
export function ownSeat(): Seat | undefined {
  const text = process.env[seatVariable];
  return text === undefined ? undefined : (JSON.parse(text) as Seat);
}

/** What entries of a process's log say, too. */
export function logFields({ number }: Pick<Seat, "number">): LogFields {
  return { process: number };
}
