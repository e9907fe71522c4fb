import { join } from "node:path";
import { Driver } from "../driver.js";
import { driverSources } from "../paths.js";
import type { Peer } from "./peer.js";
import { environment, installEnvironment, isInstalled } from "./python.js";

const packages = ["openvino-genai==2026.4.1", "numpy"];

export const openVino: Peer = {
  name: "openvino",
  usual: true,
  installs: `${packages.join(" and ")} from PyPI, in an environment of its own`,
  installed: (cache) => isInstalled(environment(cache, "openvino")),

  async install({ cache, onProgress }) {
    onProgress(`installing ${packages.join(", ")}`);
    await installEnvironment(environment(cache, "openvino"), (pip) => pip(...packages));
  },

  start({ cache, threads }, { gguf, shape }) {
    return Driver.start("OpenVINO GenAI", {
      command: environment(cache, "openvino").python,
      args: [join(driverSources, "openvino_driver.py"), gguf, String(threads), String(shape.vocabulary)],
    });
  },
};
