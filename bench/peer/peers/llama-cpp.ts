import { access, cp, mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { cpus } from "node:os";
import { join } from "node:path";
import type { Setup } from "../cases.js";
import { Driver } from "../driver.js";
import type { ModelFiles } from "../model/random-model.js";
import { driverSources } from "../paths.js";
import { run } from "../shell.js";
import type { Peer, PeerContext } from "./peer.js";

/** npm packages: prebuilt libraries, and the exact sources of them as a git bundle, of which the headers are used. */
const version = "3.22.1";
const packages = [`@node-llama-cpp/linux-x64@${version}`, `node-llama-cpp@${version}`];

/** Builds that do not only fit this CPU but may be its best. */
const buildsTried = 3;

export const llamaCpp: Peer = {
  name: "llama.cpp",
  usual: true,
  installs: `${packages.join(" and ")} from npm (45 MB), unpacked without running scripts`,

  async installed(cache) {
    const { include, libraries } = folders(cache);
    return access(join(include, "llama.h")).then(() => access(join(libraries, "libggml-base.so"))).then(() => true, () => false);
  },

  async install({ cache, onProgress }) {
    const { home, include } = folders(cache);
    await rm(home, { recursive: true, force: true });
    await mkdir(home, { recursive: true });
    onProgress(`fetching ${packages.join(", ")}`);
    const archives = (await run("npm", ["pack", "--silent", ...packages], home)).trim().split("\n");
    for (const archive of archives) {
      const folder = join(home, archive.includes("linux-x64") ? "binary" : "sources");
      await mkdir(folder);
      await run("tar", ["xzf", archive, "-C", folder], home);
    }
    onProgress("taking llama.cpp's headers out of its git bundle");
    await run("git", ["clone", "--quiet", join(home, "sources/package/llama/gitRelease.bundle"), "clone"], home);
    for (const headers of ["include", "ggml/include"]) await cp(join(home, "clone", headers), include, { recursive: true });
    for (const done of ["clone", "sources", ...archives]) await rm(join(home, done), { recursive: true });
  },

  async start(context, files) {
    const { libraries } = folders(context.cache);
    const executable = await buildDriver(context);
    const start = (build: string): Promise<Driver> =>
      Driver.start("llama.cpp", {
        command: executable,
        args: [files.gguf, String(context.threads), join(libraries, build), ...files.adapterGgufs],
      });
    return start(await bestBuild(context, files, executable, start));
  },
};

function folders(cache: string): { readonly home: string; readonly include: string; readonly libraries: string } {
  const home = join(cache, "llama.cpp");
  return { home, include: join(home, "include"), libraries: join(home, "binary/package/bins/linux-x64") };
}

async function buildDriver({ cache, onProgress }: PeerContext): Promise<string> {
  const { home, include, libraries } = folders(cache);
  const names = await readdir(libraries);
  const shared = names.filter((name) => /^lib(llama|ggml)\.v|^libggml-base\.so$/.test(name));
  const executable = join(home, "llama_cpp_driver");
  onProgress("compiling the driver of llama.cpp");
  const compile = ["-std=c++20", "-O3", "-march=native", "-ffast-math", "-I", include];
  const link = ["-L", libraries, ...shared.map((name) => `-l:${name}`), `-Wl,-rpath,${libraries}`, "-ldl", "-pthread"];
  await run("c++", [...compile, join(driverSources, "llama_cpp_driver.cc"), ...link, "-o", executable]);
  return executable;
}

/** The fastest of the CPU builds that are shipped, found by a short trial and remembered for this CPU. */
async function bestBuild(
  { cache, onProgress }: PeerContext,
  { shape }: ModelFiles,
  executable: string,
  start: (build: string) => Promise<Driver>,
): Promise<string> {
  const { home, libraries } = folders(cache);
  const memory = join(home, `best-${shape.name}.json`);
  const cpu = cpus()[0]?.model ?? "";
  const known = await readFile(memory, "utf8").then((text) => JSON.parse(text) as { cpu: string; build: string }, () => undefined);
  if (known?.cpu === cpu) return known.build;
  const builds = (await readdir(libraries)).filter((name) => name.startsWith("libggml-cpu-"));
  const scores = await run(executable, ["--scores", ...builds.map((name) => join(libraries, name))]);
  const fitting = scores
    .trim()
    .split("\n")
    .map((line, index) => ({ build: builds[index]!, score: Number(line) }))
    .filter(({ score }) => score > 0)
    .sort((a, b) => b.score - a.score)
    .slice(0, buildsTried);
  let best = { build: "", speed: 0 };
  for (const { build } of fitting) {
    const driver = await start(build);
    try {
      const speed = await trialSpeed(driver);
      onProgress(`llama.cpp, ${build}: ${speed.toPrecision(4)} tokens/s in a trial`);
      if (speed > best.speed) best = { build, speed };
    } finally {
      await driver.stop();
    }
  }
  if (best.speed === 0) throw new Error("none of the CPU builds of llama.cpp runs on this machine");
  await writeFile(memory, JSON.stringify({ cpu, build: best.build }));
  return best.build;
}

/** The geometric mean of speeds in decoding and in prefill. */
async function trialSpeed(driver: Driver): Promise<number> {
  const setups: Setup[] = [
    { kind: "decode", streams: 1, context: 64, adapters: 0, tokens: 16 },
    { kind: "decode", streams: 8, context: 64, adapters: 0, tokens: 8 },
    { kind: "prefill", streams: 1, context: 128, adapters: 0, tokens: 1 },
  ];
  let product = 1;
  for (const setup of setups) {
    await driver.setup(setup);
    const speeds = [await driver.measure(), await driver.measure(), await driver.measure()];
    product *= Math.max(...speeds);
    await driver.end();
  }
  return product ** (1 / setups.length);
}
