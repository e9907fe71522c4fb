import { SdkLoad } from "../sdk-load.js";
import { polygraft } from "./polygraft.js";
import { direct } from "./relay.js";
import type { Relay } from "./relay.js";

/** Beyond this the SDK's own queue would be measured: it reads, on one core that it shares with the backend, not many more. */
const mostTokensPerSecond = 20_000;

/** Through the SDK to a bare worker: what direct mode is to be compared with. */
export const sdkBare: Relay = way("sdk-bare", direct, false);

/** Through the SDK in direct mode, beside a router. */
export const sdkDirect: Relay = way("sdk-direct", polygraft(), true);

/** Through the SDK and a router. */
export const sdkRelay: Relay = way("sdk-relay", polygraft(), false);

function way(name: string, between: Relay, isDirect: boolean): Relay {
  return {
    name,
    missing: () => between.missing(),
    start: (port, folder) => between.start(port, folder),
    load: (tokens) => new SdkLoad(tokens, isDirect),
    fits: ({ stepMillis, streams }) => stepMillis > 0 && (streams * 1000) / stepMillis <= mostTokensPerSecond,
  };
}
