import { experimental } from "@grpc/grpc-js";
import type { ServerCredentials } from "@grpc/grpc-js";
import type { CertificateFiles, Certificates } from "@polygraft/tls";

type Provider = experimental.CertificateProvider;
type Heard = (update: { certificate: Buffer; privateKey: Buffer; caCertificate: Buffer } | null) => void;

/**
 * TLS for a gRPC server. Where the files name authorities, only who has a certificate of theirs may connect (mTLS).
 * Replaced files count from the next connection on.
 */
export function serverCredentials(files: CertificateFiles): ServerCredentials {
  const provider = new FilesProvider(files);
  // The first argument is the identity, whatever the types of grpc-js call it.
  const authorities = (files.current.ca === undefined ? null : provider) as Provider | null;
  return experimental.createCertificateProviderServerCredentials(provider as Provider, authorities, authorities !== null);
}

/** Certificate files as grpc-js wants to hear of them. */
class FilesProvider implements Provider {
  private readonly files: CertificateFiles;
  private readonly listeners = new Set<Heard>();

  constructor(files: CertificateFiles) {
    this.files = files;
    files.onChange((changed) => {
      for (const listener of this.listeners) listener(update(changed));
    });
  }

  addCaCertificateListener(listener: experimental.CaCertificateUpdateListener): void {
    this.add(listener);
  }

  removeCaCertificateListener(listener: experimental.CaCertificateUpdateListener): void {
    this.listeners.delete(listener);
  }

  addIdentityCertificateListener(listener: experimental.IdentityCertificateUpdateListener): void {
    this.add(listener);
  }

  removeIdentityCertificateListener(listener: experimental.IdentityCertificateUpdateListener): void {
    this.listeners.delete(listener);
  }

  private add(listener: Heard): void {
    this.listeners.add(listener);
    // Not before the credentials have remembered whom to tell of it.
    process.nextTick(() => listener(update(this.files.current)));
  }
}

const nothing = Buffer.alloc(0);

function update({ cert = nothing, key = nothing, ca = nothing }: Certificates): Parameters<Heard>[0] {
  return { certificate: cert, privateKey: key, caCertificate: ca };
}
