import { CertificateFiles } from "./certificate-files.js";

/** Files of a process that serves and calls. One certificate is shown at both ends. */
export interface BothEndsPaths {
  readonly certificate: string | undefined;
  readonly key: string | undefined;
  /** Authorities of those who call. */
  readonly callers: string | undefined;
  /** Authorities of those who are called. */
  readonly called: string | undefined;
}

/** Their contents. */
export interface BothEnds {
  /** For the server. Absent without a certificate: it speaks plain HTTP/2. */
  readonly server: CertificateFiles | undefined;
  /** For calls. */
  readonly calls: CertificateFiles;
  /** All of them that are to be read again when they change; none where no path was given. */
  readonly files: readonly CertificateFiles[];
}

/**
 * Reads the files of both ends.
 *
 * @throws TlsFileError as `readCertificates` does.
 */
export async function openBothEnds({ certificate, key, callers, called }: BothEndsPaths): Promise<BothEnds> {
  const calls = await CertificateFiles.open({ certificate, key, authorities: called });
  const server = certificate === undefined ? undefined : await CertificateFiles.open({ certificate, key, authorities: callers });
  if (server !== undefined) return { server, calls, files: [server, calls] };
  return { server, calls, files: called === undefined ? [] : [calls] };
}
