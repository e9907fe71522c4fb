import { AdapterSwap, Tier } from "@polygraft/api";
import type {
  AdapterRef,
  AdapterServiceImplementation,
  GetAdapterRequest,
  ListAdaptersRequest,
  ListAdaptersResponse,
  LoadAdapterRequest,
  PinAdapterRequest,
  UnloadAdapterRequest,
} from "@polygraft/api";
import type { CallContext } from "nice-grpc-common";
import type { AdapterStore } from "../adapters/store.js";
import { invalidFields } from "../failure.js";
import { listPage } from "./adapter-pages.js";

/** Lists, loads, unloads and pins the adapters of this worker. */
export class AdapterService implements AdapterServiceImplementation {
  private readonly adapters: AdapterStore;

  constructor(adapters: AdapterStore) {
    this.adapters = adapters;
  }

  /** Looks at the folders first, so that an adapter dropped in is listed; further pages go on without. */
  async listAdapters(request: ListAdaptersRequest): Promise<ListAdaptersResponse> {
    if (request.pageToken === "") await this.adapters.rescan();
    return listPage(this.adapters, request);
  }

  async getAdapter({ adapter }: GetAdapterRequest) {
    return { adapter: await this.adapters.get(required(adapter)) };
  }

  async loadAdapter({ adapter, tier, pin, swap }: LoadAdapterRequest, { signal }: CallContext) {
    if (swap === AdapterSwap.IN_PLACE) {
      if (tier !== Tier.UNSPECIFIED && tier !== Tier.DEVICE) {
        throw invalidFields([{ field: "tier", description: "must be TIER_DEVICE for a swap in place" }]);
      }
      return { adapter: await this.adapters.swap(required(adapter), pin, signal) };
    }
    return { adapter: await this.adapters.load(required(adapter), tier, pin, signal) };
  }

  async unloadAdapter({ adapter }: UnloadAdapterRequest) {
    return { adapter: await this.adapters.unload(required(adapter)) };
  }

  async pinAdapter({ adapter, pinned }: PinAdapterRequest, { signal }: CallContext) {
    return { adapter: await this.adapters.pin(required(adapter), pinned, signal) };
  }
}

function required(adapter: AdapterRef | undefined): AdapterRef {
  if (!adapter) throw invalidFields([{ field: "adapter", description: "is required" }]);
  return adapter;
}
