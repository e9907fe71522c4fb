import type { ListAdaptersRequest, ListAdaptersResponse } from "@polygraft/api";
import type { AdapterStore } from "../adapters/store.js";
import { invalidFields } from "../failure.js";

const DEFAULT_PAGE_SIZE = 100;
const MAX_PAGE_SIZE = 1000;

/**
 * One page of a worker's adapters, in the order of their names. A page token names a place in that order, not a
 * snapshot: adapters that come or go between two pages are seen or not, all others once.
 */
export function listPage(adapters: AdapterStore, request: ListAdaptersRequest): ListAdaptersResponse {
  const { pageSize, pageToken, prefix } = request;
  if (pageSize > MAX_PAGE_SIZE) throw invalid("page_size", `is ${pageSize}; allowed is 0 to ${MAX_PAGE_SIZE}`);
  const after = readToken(pageToken);
  const keys = adapters.keys().filter((key) => key.startsWith(prefix) && (after === undefined || key > after));
  const page = keys.slice(0, pageSize || DEFAULT_PAGE_SIZE);
  const last = page.at(-1);
  return {
    adapters: page.map((key) => adapters.describe(key)).filter((adapter) => adapter !== undefined),
    nextPageToken: last !== undefined && page.length < keys.length ? writeToken(last) : "",
  };
}

function writeToken(key: string): string {
  return Buffer.from(`>${key}`).toString("base64url");
}

function readToken(token: string): string | undefined {
  if (token === "") return undefined;
  const text = Buffer.from(token, "base64url").toString();
  if (!text.startsWith(">")) throw invalid("page_token", "is not one that this worker gave out");
  return text.slice(1);
}

function invalid(field: string, description: string): Error {
  return invalidFields([{ field, description }]);
}
