import type { Http2Session } from "node:http2";
import type { Timers } from "../timers.js";

/** How a dead peer is noticed. */
export interface KeepaliveOptions {
  /** Milliseconds between pings. */
  readonly intervalMillis: number;
  /** Milliseconds that a ping may take before the connection counts as lost. */
  readonly timeoutMillis: number;
}

/**
 * Pings the other end for as long as the session lives and has streams, and destroys the session when an answer stays
 * out. This is how a peer whose machine vanished, or whose process hangs, is noticed: TCP alone would wait for minutes.
 * It also ends connections that broke the protocol: Node says GOAWAY to them and then leaves them open.
 */
export function keepAlive(session: Http2Session, busy: () => boolean, options: KeepaliveOptions, timers: Timers): void {
  let cancel = () => {};
  const wait = () => {
    cancel = timers.after(options.intervalMillis, ping);
  };
  const ping = () => {
    if (session.destroyed) return;
    if (!busy()) return wait();
    cancel = timers.after(options.timeoutMillis, () => session.destroy(new Error("keepalive ping was not answered")));
    session.ping((error: Error | null) => {
      cancel();
      if (session.destroyed) return;
      if (error === null) wait();
      else session.destroy(error);
    });
  };
  session.once("close", () => cancel());
  wait();
}
