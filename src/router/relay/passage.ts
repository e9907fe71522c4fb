import { Status } from "nice-grpc";
import type { ClientCall } from "./client-call.js";
import { formatGrpcTimeout } from "./grpc-timeout.js";
import { passedOn } from "./headers.js";
import type { Passage } from "./relay.js";
import type { SessionPool } from "./session-pool.js";
import { UpstreamCall } from "./upstream-call.js";

/**
 * Passes a call of any kind to one target: bytes both ways as they come. Each side is read only as fast as the other
 * one takes, and the end of either is the end of both.
 */
export function passThrough(client: ClientCall, { target, headers: own }: Passage, drop: ReadonlySet<string>, pool: SessionPool): void {
  const left = client.millisLeft;
  const headers = {
    ...passedOn(client.head.headers, drop),
    ...own,
    ":method": "POST",
    ":path": client.head.path,
    te: "trailers",
    ...(left === undefined ? {} : { "grpc-timeout": formatGrpcTimeout(left) }),
  };
  const upstream = new UpstreamCall(pool, target.address, headers, {
    head: (received) => client.respond(received),
    data(chunk) {
      if (!client.write(chunk)) upstream.pause();
    },
    writable: () => client.resume(),
    finished: ({ trailers }) => client.finish(trailers),
    lost: (cause) => client.fail({ status: Status.UNAVAILABLE, message: `${target.name} broke the call off: ${cause}` }),
  });
  client.start({
    data(chunk) {
      if (!upstream.write(chunk)) client.pause();
    },
    end: () => upstream.end(),
    writable: () => upstream.resume(),
    cancelled: () => upstream.cancel(),
    expired: () => upstream.cancel(),
  });
}
