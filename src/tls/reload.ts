import type { CertificateFiles } from "./certificate-files.js";

/** A good time between two looks at certificate files, in milliseconds. */
export const lookMillis = 10_000;

/** Where to say what came of a look. */
export interface ReloadLog {
  info(message: string): void;
  warn(message: string, fields: { readonly reason: string }): void;
}

/** Reads files again. Those that cannot be used now, such as half replaced ones, keep what they had. */
export async function reloadAll(files: readonly CertificateFiles[], log: ReloadLog): Promise<void> {
  for (const one of files) {
    try {
      if (await one.reload()) log.info("certificates were replaced");
    } catch (error) {
      log.warn("replaced certificates cannot be used; the old ones stay", { reason: (error as Error).message });
    }
  }
}
