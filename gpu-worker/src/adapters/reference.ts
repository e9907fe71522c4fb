import type { AdapterRef } from "@polygraft/api";
import { Failure, invalidFields, type Violation } from "../failure.js";

/** What a caller asks for, taken apart and checked. */
export interface AdapterReference {
  /** A folder's name, or "hf://org/repo". */
  readonly id: string;
  /** Empty: the current one. */
  readonly revision: string;
  /** Empty: any. */
  readonly digest: string;
}

const HUB_PREFIX = "hf://";
const MAX_ID_BYTES = 512;
const MAX_REVISION_BYTES = 256;

/** Whether an id names a repository of the Hugging Face hub. */
export function isHubId(id: string): boolean {
  return id.startsWith(HUB_PREFIX);
}

/** The repository "org/repo" of a hub id. Refuses what is no repository name. */
export function hubRepository(id: string): string {
  const name = id.slice(HUB_PREFIX.length);
  if (!/^[A-Za-z0-9][\w.-]{0,95}\/[A-Za-z0-9][\w.-]{0,95}$/.test(name) || name.includes("..")) {
    throw invalidFields([{ field: "adapter.id", description: `${JSON.stringify(id)} is no hf://org/repo` }]);
  }
  return name;
}

/** Splits "id@revision". An id without "@" has the empty revision. */
export function splitRevision(name: string): { id: string; revision: string } {
  const at = name.lastIndexOf("@");
  return at <= 0 ? { id: name, revision: "" } : { id: name.slice(0, at), revision: name.slice(at + 1) };
}

/** Checks a reference of the contract. A revision in the id ("name@v2") counts where the field is empty. */
export function parseReference(ref: AdapterRef): AdapterReference {
  const violations: Violation[] = [];
  const check = (field: string, ok: boolean, description: string): void => {
    if (!ok) violations.push({ field: `adapter.${field}`, description });
  };
  check("id", ref.id.length > 0, "must not be empty");
  check("id", Buffer.byteLength(ref.id) <= MAX_ID_BYTES, `must have at most ${MAX_ID_BYTES} bytes`);
  check("id", !hasControls(ref.id), "must not hold control characters");
  check("revision", Buffer.byteLength(ref.revision) <= MAX_REVISION_BYTES, `must have at most ${MAX_REVISION_BYTES} bytes`);
  check("revision", !hasControls(ref.revision), "must not hold control characters");
  check("digest", ref.digest === "" || /^sha256:[0-9a-f]{64}$/.test(ref.digest), 'must be "sha256:" and 64 hexadecimal digits');
  if (violations.length > 0) throw invalidFields(violations);
  const { id, revision } = ref.revision === "" ? splitRevision(ref.id) : ref;
  return { id, revision, digest: ref.digest };
}

/** How people write a reference. */
export function describeReference({ id, revision }: { readonly id: string; readonly revision: string }): string {
  return revision === "" ? id : `${id}@${revision}`;
}

/** Nobody serves this reference. */
export function adapterNotFound(reference: { readonly id: string; readonly revision: string }, hint: string): Failure {
  const name = describeReference(reference);
  return new Failure("ADAPTER_NOT_FOUND", `there is no adapter ${JSON.stringify(name)}: ${hint}`, {
    metadata: { adapter: name },
  });
}

function hasControls(text: string): boolean {
  // oxlint-disable-next-line no-control-regex
  return /[\u0000-\u001f\u007f]/.test(text);
}
