/** Certificates of servers and their clients. */
export { openBothEnds } from "./both-ends.js";
export type { BothEnds, BothEndsPaths } from "./both-ends.js";
export { CertificateFiles } from "./certificate-files.js";
export { readCertificates, TlsFileError } from "./read-certificates.js";
export type { Certificates, CertificatePaths } from "./read-certificates.js";
export { lookMillis, reloadAll } from "./reload.js";
export type { ReloadLog } from "./reload.js";
