import { execFileSync } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { makeAuthority } from "../../test/support/certificates.js";
import type { Authority, Issued } from "../../test/support/certificates.js";
import { temporaryFolder } from "../../test/support/temporary-folder.js";
import { CertificateFiles } from "./certificate-files.js";
import { readCertificates } from "./read-certificates.js";
import { reloadAll } from "./reload.js";

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let authority: Authority;
let leaf: Issued;
beforeAll(async () => {
  folder = await temporaryFolder();
  authority = await makeAuthority(folder.path, "ca");
  leaf = await authority.issue("leaf");
});
afterAll(() => folder[Symbol.asyncDispose]());

async function file(name: string, text: string): Promise<string> {
  const path = join(folder.path, name);
  await writeFile(path, text);
  return path;
}

test("good files are read, and absent ones are absent", async () => {
  const all = await readCertificates({ certificate: leaf.cert, key: leaf.key, authorities: authority.cert });
  expect(Object.keys(all)).toEqual(["cert", "key", "ca"]);
  expect(await readCertificates({})).toEqual({});
  expect(Object.keys(await readCertificates({ authorities: authority.cert }))).toEqual(["ca"]);
});

test("what is wrong is said with the file's name, and nothing of its content", async () => {
  const garbage = await file("garbage.pem", "-----BEGIN CERTIFICATE-----\nc2VjcmV0\n-----END CERTIFICATE-----\n");
  const text = await file("text.pem", "my secret notes");
  const encrypted = join(folder.path, "encrypted.key");
  execFileSync("openssl", ["pkcs8", "-topk8", "-in", leaf.key, "-out", encrypted, "-passout", "pass:abcd"]);
  const other = await authority.issue("other");
  const { cert: certificate, key } = leaf;
  const cases: [object, string][] = [
    [{ certificate, key: "/nowhere/k.pem" }, "the key file /nowhere/k.pem cannot be read: ENOENT"],
    [{ certificate: folder.path, key }, `the certificate file ${folder.path} cannot be read: EISDIR`],
    [{ certificate: text, key }, `${text} holds no certificate in PEM`],
    [{ authorities: text }, `${text} holds no certificate in PEM`],
    [{ authorities: garbage }, `${garbage} holds a malformed certificate`],
    [{ certificate, key: text }, `${text} holds no private key in PEM`],
    [{ certificate, key: encrypted }, `${encrypted} holds no private key in PEM that can be read: it is encrypted`],
    [{ certificate, key: other.key }, `the key ${other.key} does not belong to the certificate ${certificate}`],
    [{ certificate }, `the certificate ${certificate} needs its key`],
    [{ key }, `the key ${key} needs its certificate`],
    [{ authorities: await file("big.pem", "x".repeat(1024 * 1024 + 1)) }, "more than the limit of 1048576"],
  ];
  for (const [paths, message] of cases) {
    const error: Error = await readCertificates(paths).then(() => expect.unreachable(message), (caught: Error) => caught);
    expect(error.message).toContain(message);
    expect(error.message).not.toContain("secret");
  }
});

test("replaced files count, half replaced ones do not", async () => {
  const own = await authority.issue("replaced");
  const files = await CertificateFiles.open({ certificate: own.cert, key: own.key });
  const said: string[] = [];
  const log = { info: (message: string) => said.push(message), warn: (_: string, { reason }: { reason: string }) => said.push(reason) };
  const heard: unknown[] = [];
  files.onChange((certificates) => heard.push(certificates));
  const before = files.context;
  await reloadAll([files], log);
  expect([heard, said]).toEqual([[], []]);
  expect(files.context).toBe(before);

  const keyBefore = files.current.key;
  const next = await authority.issue("next");
  await writeFile(own.cert, (await readCertificates({ certificate: next.cert, key: next.key })).cert!);
  await reloadAll([files], log);
  expect(files.current.key).toBe(keyBefore);
  expect(said).toEqual([expect.stringContaining("does not belong")]);

  await writeFile(own.key, (await readCertificates({ certificate: next.cert, key: next.key })).key!);
  await reloadAll([files], log);
  expect(heard).toEqual([files.current]);
  expect(files.context).not.toBe(before);
  expect(said[1]).toBe("certificates were replaced");
});
