import { lookMillis } from "@polygraft/tls";
import type { Log } from "../log.js";
import type { Timers } from "../timers.js";
import type { ApiKeys } from "./api-keys.js";

/** Looks at the file of keys again and again, as at certificates, until the result is called. A bad file changes nothing. */
export function reloadKeys(apiKeys: ApiKeys, path: string, timers: Timers, log: Log): () => void {
  let cancel = () => {};
  const look = async () => {
    try {
      if (await apiKeys.reload(path)) log.info("API keys were replaced");
    } catch (error) {
      log.warn("replaced API keys cannot be used; the old ones stay", { reason: (error as Error).message });
    }
  };
  const wait = () => {
    cancel = timers.after(lookMillis, () => {
      wait();
      void look();
    });
  };
  wait();
  return () => cancel();
}
