import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);
const fresh = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];

/** A certificate and its key as files in PEM. */
export interface Issued {
  readonly cert: string;
  readonly key: string;
}

/** A certificate authority made for a test. */
export interface Authority extends Issued {
  /**
   * Issues a certificate for 127.0.0.1 and localhost, or for other names, into files of that name. Issuing again under
   * the same name replaces them.
   */
  issue(name: string, altNames?: string): Promise<Issued>;
}

/** Makes an authority with `openssl`, in files that are named after it. */
export async function makeAuthority(folder: string, name: string): Promise<Authority> {
  const own = { cert: join(folder, `${name}.pem`), key: join(folder, `${name}.key`) };
  await run("openssl", ["req", "-x509", ...fresh, "-keyout", own.key, "-out", own.cert, "-subj", `/CN=${name}`]);
  return {
    ...own,
    async issue(leaf, altNames = "IP:127.0.0.1,DNS:localhost") {
      const issued = { cert: join(folder, `${leaf}.pem`), key: join(folder, `${leaf}.key`) };
      const extensions = ["-addext", `subjectAltName=${altNames}`, "-addext", "basicConstraints=critical,CA:FALSE"];
      const signer = ["-CA", own.cert, "-CAkey", own.key];
      await run("openssl", ["req", "-x509", ...fresh, ...signer, "-keyout", issued.key, "-out", issued.cert, "-subj", `/CN=${leaf}`, ...extensions]);
      return issued;
    },
  };
}

/** What an SDK takes for a server of that authority, with a certificate of its own if there is one. */
export async function clientTls(authority: Issued, own?: Issued) {
  const identity = own && { certificateChain: await readFile(own.cert), privateKey: await readFile(own.key) };
  return { rootCertificates: await readFile(authority.cert), ...identity };
}
