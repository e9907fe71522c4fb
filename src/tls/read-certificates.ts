import { createPrivateKey, X509Certificate } from "node:crypto";
import type { KeyObject } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createSecureContext } from "node:tls";

/** Files in PEM. All are optional, but a certificate needs its key. */
export interface CertificatePaths {
  /** The own certificate, then those that lead to an authority. */
  readonly certificate?: string | undefined;
  readonly key?: string | undefined;
  /** Authorities that must have signed what the other end shows. */
  readonly authorities?: string | undefined;
}

/** What the files hold, in PEM. */
export interface Certificates {
  readonly cert?: Buffer;
  readonly key?: Buffer;
  readonly ca?: Buffer;
}

/** A certificate file that cannot be used. The message names it and says why; it holds nothing of the file. */
export class TlsFileError extends Error {
  override readonly name = "TlsFileError";
}

/** No certificate, and no chain of them, is as long. */
const mostBytes = 1024 * 1024;

/**
 * Reads and checks certificate files.
 *
 * @throws TlsFileError if one cannot be read, is not what it should be, or if key and certificate are not a pair.
 */
export async function readCertificates(paths: CertificatePaths): Promise<Certificates> {
  const { certificate, key, authorities } = paths;
  if (certificate === undefined && key !== undefined) throw new TlsFileError(`the key ${key} needs its certificate`);
  if (certificate !== undefined && key === undefined) throw new TlsFileError(`the certificate ${certificate} needs its key`);
  const [cert, keyPem, ca] = await Promise.all([read("certificate", certificate), read("key", key), read("authorities", authorities)]);
  const own = cert && parseCertificates(certificate!, cert)[0];
  const ownKey = keyPem && parseKey(key!, keyPem);
  if (ca !== undefined) parseCertificates(authorities!, ca);
  if (own !== undefined && ownKey !== undefined && !own.checkPrivateKey(ownKey)) {
    throw new TlsFileError(`the key ${key} does not belong to the certificate ${certificate}`);
  }
  const found = { ...(cert && { cert }), ...(keyPem && { key: keyPem }), ...(ca && { ca }) };
  try {
    createSecureContext(found);
  } catch (error) {
    throw new TlsFileError(`${[certificate, key, authorities].filter(Boolean).join(", ")} cannot be used: ${reasonOf(error)}`);
  }
  return found;
}

async function read(what: string, path: string | undefined): Promise<Buffer | undefined> {
  if (path === undefined) return undefined;
  let bytes: Buffer;
  try {
    bytes = await readFile(path);
  } catch (error) {
    throw new TlsFileError(`the ${what} file ${path} cannot be read: ${reasonOf(error)}`);
  }
  if (bytes.length > mostBytes) throw new TlsFileError(`the ${what} file ${path} has ${bytes.length} bytes, more than the limit of ${mostBytes}`);
  return bytes;
}

const pemCertificate = /-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----/g;

function parseCertificates(path: string, pem: Buffer): X509Certificate[] {
  const blocks = pem.toString("latin1").match(pemCertificate) ?? [];
  if (blocks.length === 0) throw new TlsFileError(`${path} holds no certificate in PEM ("-----BEGIN CERTIFICATE-----")`);
  try {
    return blocks.map((block) => new X509Certificate(block));
  } catch (error) {
    throw new TlsFileError(`${path} holds a malformed certificate: ${reasonOf(error)}`);
  }
}

function parseKey(path: string, pem: Buffer): KeyObject {
  try {
    return createPrivateKey(pem);
  } catch (error) {
    const why = pem.includes("ENCRYPTED") ? "it is encrypted; write it without a passphrase" : reasonOf(error);
    throw new TlsFileError(`${path} holds no private key in PEM that can be read: ${why}`);
  }
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
