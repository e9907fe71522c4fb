import { AdapterSwap, Tier } from "@polygraft/api";
import type { Adapter, AdapterServiceImplementation } from "@polygraft/api";
import { Status } from "nice-grpc";
import { ErrorInfo, RichServerError } from "nice-grpc-error-details";
import { announcedAdapter } from "./scripted-worker.js";

/** A worker's adapter service that writes down what it is asked, and answers as if all were done. */
export function scriptedAdapters(worker: string, asked: string[]): AdapterServiceImplementation {
  const answer = (did: string, id: string, tier: Tier): { adapter: Adapter } => {
    asked.push(`${worker} ${did} ${id}`);
    const adapter = announcedAdapter(id, { tier });
    return { adapter: { ...adapter, residency: [{ ...adapter.residency[0]!, worker }] } };
  };
  return {
    async listAdapters() {
      return { adapters: [], nextPageToken: "" };
    },
    async getAdapter({ adapter }) {
      const info = ErrorInfo.fromPartial({ reason: "ADAPTER_NOT_FOUND", domain: "polygraft", metadata: { worker } });
      throw new RichServerError(Status.NOT_FOUND, `no adapter "${adapter?.id}"`, [info]);
    },
    loadAdapter: async ({ adapter, swap }) => answer(swap === AdapterSwap.IN_PLACE ? "swap" : "load", adapter?.id ?? "", Tier.DEVICE),
    unloadAdapter: async ({ adapter }) => answer("unload", adapter?.id ?? "", Tier.DISK),
    pinAdapter: async ({ adapter, pinned }) => answer(pinned ? "pin" : "unpin", adapter?.id ?? "", Tier.DEVICE),
  };
}
