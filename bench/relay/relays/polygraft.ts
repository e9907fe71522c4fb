import { join } from "node:path";
import { repository } from "../../repository.js";
import { Program } from "./program.js";
import type { Relay } from "./relay.js";
import { joinFleet } from "./join-fleet.js";

/** polygraft's router, as the command starts it, in one process or several, with the backend as its one worker. */
export function polygraft(profileFolder?: string, processes = 1): Relay {
  return {
    name: processes === 1 ? "polygraft" : `polygraft-${processes}`,
    missing: () => undefined,
    // A connection has one process.
    fits: ({ connections }) => connections >= processes,
    async start(backendPort) {
      const profile = profileFolder === undefined ? [] : ["--cpu-prof", `--cpu-prof-dir=${profileFolder}`];
      const main = join(repository, "src/cli/dist/main.js");
      const args = ["router", "--listen", "127.0.0.1:0", "--processes", String(processes)];
      const program = new Program("polygraft router", [process.execPath, ...profile, main, ...args]);
      const [, address = ""] = await program.says(/listening on (\S+)/);
      const leave = await joinFleet(address, { name: "worker-1", address: `127.0.0.1:${backendPort}` });
      return {
        port: Number(address.slice(address.lastIndexOf(":") + 1)),
        processes: () => program.processes(),
        async stop() {
          leave();
          await program.stop();
        },
      };
    },
  };
}
