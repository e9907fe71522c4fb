import type { AdapterRef } from "@polygraft/api";
import type { AdapterReference } from "./request.js";

/** Reads "name", "name@revision" or a reference in parts. Revisions may contain "@" and "/", names no "@". */
export function toAdapterRef(reference: string | AdapterReference): AdapterRef {
  if (typeof reference !== "string") {
    return { id: reference.id, revision: reference.revision ?? "", digest: reference.digest ?? "" };
  }
  const at = reference.indexOf("@");
  if (at <= 0) return { id: reference, revision: "", digest: "" };
  return { id: reference.slice(0, at), revision: reference.slice(at + 1), digest: "" };
}

/** "id" or "id@revision". */
export function formatAdapterRef(ref: { readonly id: string; readonly revision: string }): string {
  return ref.revision === "" ? ref.id : `${ref.id}@${ref.revision}`;
}
