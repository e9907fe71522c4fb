import type { IncomingHttpHeaders, OutgoingHttpHeaders } from "node:http2";

/** Headers that concern one connection, or that the relay writes itself. They are never passed on. */
const ownHeaders = new Set([
  "connection",
  "content-length",
  "grpc-timeout",
  "host",
  "http2-settings",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

/** The headers that may cross: neither pseudo-headers nor those of one hop, nor any that `drop` names. */
export function passedOn(headers: IncomingHttpHeaders, drop?: ReadonlySet<string>): OutgoingHttpHeaders {
  const passed: OutgoingHttpHeaders = {};
  for (const name of Object.keys(headers)) {
    if (name.startsWith(":") || ownHeaders.has(name) || drop?.has(name) === true) continue;
    const value = headers[name];
    if (value !== undefined) passed[name] = value;
  }
  return passed;
}

/** Bytes of names and values. */
export function bytesOf(headers: IncomingHttpHeaders): number {
  let bytes = 0;
  for (const name of Object.keys(headers)) bytes += name.length + String(headers[name]).length;
  return bytes;
}

/** A header that should occur once, as text. */
export function single(headers: IncomingHttpHeaders, name: string): string | undefined {
  const value = headers[name];
  return Array.isArray(value) ? value[0] : value;
}
