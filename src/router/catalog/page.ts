import type { Adapter, ListAdaptersRequest, ListAdaptersResponse } from "@polygraft/api";
import { invalidField } from "../failure.js";
import type { Failure } from "../failure.js";
import type { Catalog } from "./catalog.js";
import { mergedAdapters } from "./merge.js";

const defaultPageSize = 100;
const maxPageSize = 1000;

/** Where a page begins: at an id, after so many of its adapters. */
interface Position {
  readonly id: string;
  readonly skip: number;
}

/**
 * One page of the catalog. A page token names a place in the order of ids, not a snapshot: adapters that come and go
 * between two pages are seen or not, and all others exactly once.
 */
export function listPage(catalog: Catalog, request: ListAdaptersRequest): ListAdaptersResponse | Failure {
  if (request.pageSize > maxPageSize) return invalidField("page_size", `must be at most ${maxPageSize}`);
  const start = request.pageToken === "" ? { id: request.prefix, skip: 0 } : readToken(request.pageToken);
  if (start === undefined) return invalidField("page_token", "is not one that this router gave out");
  const pageSize = request.pageSize === 0 ? defaultPageSize : request.pageSize;
  const adapters: Adapter[] = [];
  const { ids } = catalog;
  for (let index = lowerBound(ids, start.id); index < ids.length; index++) {
    const id = ids[index] ?? "";
    if (!id.startsWith(request.prefix)) {
      if (id > request.prefix) break;
      continue;
    }
    const entry = catalog.get(id);
    const skip = id === start.id ? start.skip : 0;
    const found = entry === undefined ? [] : mergedAdapters(entry).slice(skip);
    const room = pageSize - adapters.length;
    adapters.push(...found.slice(0, room));
    if (found.length > room) return { adapters, nextPageToken: writeToken({ id, skip: skip + room }) };
  }
  return { adapters, nextPageToken: "" };
}

/** Index of the first id that is not below. */
function lowerBound(ids: readonly string[], id: string): number {
  let low = 0;
  let high = ids.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((ids[middle] ?? "") < id) low = middle + 1;
    else high = middle;
  }
  return low;
}

function writeToken({ id, skip }: Position): string {
  return Buffer.from(`${skip}:${id}`).toString("base64url");
}

function readToken(token: string): Position | undefined {
  const match = /^([0-9]{1,9}):(.*)$/s.exec(Buffer.from(token, "base64url").toString());
  if (match?.[1] === undefined || match[2] === undefined) return undefined;
  return { skip: Number(match[1]), id: match[2] };
}
