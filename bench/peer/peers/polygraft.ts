import { access, mkdir } from "node:fs/promises";
import { join } from "node:path";
import { Driver } from "../driver.js";
import type { ModelFiles } from "../model/random-model.js";
import { driverSources, repository } from "../paths.js";
import { run } from "../shell.js";
import type { PeerContext } from "./peer.js";

const native = join(repository, "gpu-worker/native");

/** Compiles the driver of polygraft's engine against the library that `make build` has made. Returns its path. */
export async function buildPolygraftDriver(cache: string): Promise<string> {
  const library = join(native, "build/libpolygraft_engine.a");
  await access(library).catch(() => {
    throw new Error(`${library} is missing: run "make build" first`);
  });
  const out = join(cache, "polygraft_driver");
  await mkdir(cache, { recursive: true });
  await run("c++", ["-std=c++20", "-O2", "-I", native, join(driverSources, "polygraft_driver.cc"), library, "-pthread", "-o", out]);
  return out;
}

/** Starts polygraft's engine, driven through its C ABI. */
export function startPolygraft({ cache, threads, kvType, adapterType }: PeerContext, executable: string, files: ModelFiles, name: string): Promise<Driver> {
  const args = [files.folder, String(threads), join(cache, "weights"), kvType, adapterType, ...files.adapterFolders];
  return Driver.start(name, { command: executable, args });
}
