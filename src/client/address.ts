import { PolygraftError } from "./error.js";

/** Where a server is, and whether to speak TLS to it. */
export interface Address {
  /** "host:port", as gRPC wants it. */
  readonly target: string;
  readonly host: string;
  readonly port: number;
  readonly tls: boolean;
}

/** Reads "host:port", "http://host:port" or "https://host:port". Without a port: 50051, or 443 for "https://". */
export function parseAddress(text: string): Address {
  const match = /^(?:(https?):\/\/)?(\[[0-9a-fA-F:.]+\]|[^:/\s[\]]+)(?::(\d{1,5}))?\/?$/.exec(text.trim());
  const tls = match?.[1] === "https";
  const host = match?.[2];
  const port = Number(match?.[3] ?? (tls ? 443 : 50051));
  if (host === undefined || port < 1 || port > 65_535) {
    throw new PolygraftError(`the address ${JSON.stringify(text)} is not "host:port", "http://host:port" or "https://host:port"`, {
      code: "INVALID_REQUEST",
      status: "INVALID_ARGUMENT",
      fields: [{ field: "address", description: 'must be "host:port", with "http://" or "https://" before it if wished' }],
    });
  }
  return { target: `${host}:${port}`, host, port, tls };
}
