import type { WorkerHello } from "@polygraft/api";
import { invalidField } from "../failure.js";
import type { Failure } from "../failure.js";

const maxTextBytes = 128;

/** What is wrong with a worker's greeting, if anything. The limits are those of the contract. */
export function checkHello(hello: WorkerHello, { needsTls = false }: { readonly needsTls?: boolean } = {}): Failure | undefined {
  if (!/^[A-Za-z0-9._:-]{1,128}$/.test(hello.name)) {
    return invalidField("hello.name", "must be 1 to 128 letters, digits, '.', '_', '-' or ':'");
  }
  if (hello.epoch === "" || Buffer.byteLength(hello.epoch) > maxTextBytes) {
    return invalidField("hello.epoch", `must have 1 to ${maxTextBytes} bytes`);
  }
  if (!isAddress(hello.address)) {
    return invalidField("hello.address", 'must be "host:port" with a host that routers can reach and a port of 1 to 65535');
  }
  if (hello.weight !== undefined && !(hello.weight > 0 && Number.isFinite(hello.weight))) {
    return invalidField("hello.weight", "must be above 0 and finite");
  }
  if (Buffer.byteLength(hello.zone) > maxTextBytes) {
    return invalidField("hello.zone", `must have at most ${maxTextBytes} bytes`);
  }
  if (hello.model === undefined || hello.model.name === "") {
    return invalidField("hello.model.name", "must name the base model that the worker serves");
  }
  if (hello.model.digest !== "" && !isDigest(hello.model.digest)) {
    return invalidField("hello.model.digest", 'must be "sha256:" and 64 hexadecimal digits, or empty');
  }
  if (needsTls && !hello.tls) {
    return invalidField("hello.tls", "must be true, because this router speaks only TLS to workers: give the worker a certificate");
  }
  return undefined;
}

/** "sha256:" and 64 hexadecimal digits. */
export function isDigest(text: string): boolean {
  return /^sha256:[0-9a-f]{64}$/.test(text);
}

/** "host:port", the host a name, an IPv4 address or an IPv6 address in brackets, but not the "any" address. */
function isAddress(address: string): boolean {
  const match = /^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]{1,253}):([0-9]{1,5})$/.exec(address);
  if (match === null) return false;
  const [, host, port] = match;
  return host !== "0.0.0.0" && host !== "[::]" && Number(port) >= 1 && Number(port) <= 65535;
}
