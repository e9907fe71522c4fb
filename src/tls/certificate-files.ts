import { createSecureContext } from "node:tls";
import type { SecureContext } from "node:tls";
import { readCertificates } from "./read-certificates.js";
import type { Certificates, CertificatePaths } from "./read-certificates.js";

/** Certificate files of a running process: what they hold, and again what they hold once they were replaced. */
export class CertificateFiles {
  readonly #paths: CertificatePaths;
  readonly #listeners = new Set<(certificates: Certificates) => void>();
  #current: Certificates;
  #context: SecureContext | undefined;

  private constructor(paths: CertificatePaths, certificates: Certificates) {
    this.#paths = paths;
    this.#current = certificates;
  }

  /**
   * Reads the files.
   *
   * @throws TlsFileError as `readCertificates` does.
   */
  static async open(paths: CertificatePaths): Promise<CertificateFiles> {
    return new CertificateFiles(paths, await readCertificates(paths));
  }

  /** What the files held when they were last read and good. */
  get current(): Certificates {
    return this.#current;
  }

  /** The same as TLS wants it. One for all connections, because making one parses all authorities. */
  get context(): SecureContext {
    return (this.#context ??= createSecureContext({ ...this.#current, minVersion: "TLSv1.2" }));
  }

  /** Tells a listener of every change. */
  onChange(listener: (certificates: Certificates) => void): void {
    this.#listeners.add(listener);
  }

  /**
   * Reads the files again. Resolves with whether something has changed.
   *
   * @throws TlsFileError if they cannot be used now, such as while they are being replaced; the old ones stay in use.
   */
  async reload(): Promise<boolean> {
    const certificates = await readCertificates(this.#paths);
    if (same(certificates, this.#current)) return false;
    this.#current = certificates;
    this.#context = undefined;
    for (const listener of this.#listeners) listener(certificates);
    return true;
  }
}

function same(a: Certificates, b: Certificates): boolean {
  const equal = (one: Buffer | undefined, other: Buffer | undefined) =>
    one === undefined || other === undefined ? one === other : one.equals(other);
  return equal(a.cert, b.cert) && equal(a.key, b.key) && equal(a.ca, b.ca);
}
