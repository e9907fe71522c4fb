import type { Contender } from "../driver.js";
import type { ModelFiles } from "../model/random-model.js";

/** What a peer needs to know. */
export interface PeerContext {
  /** Folder for what is installed, built and remembered. */
  readonly cache: string;
  readonly threads: number;
  /** What polygraft stores keys and values as. */
  readonly kvType: "f16" | "int8";
  /** What polygraft holds adapters as. */
  readonly adapterType: "source" | "int8";
  readonly onProgress: (line: string) => void;
}

/** A program to measure. Adding one is a file with such an object, and a line in `peers/index.ts`. */
export interface Peer {
  readonly name: string;
  /** Measured without being asked for, where it is installed. */
  readonly usual: boolean;
  /** Says what `install` does, for those who are asked to run it. */
  readonly installs: string;
  installed(cache: string): Promise<boolean>;
  install(context: PeerContext): Promise<void>;
  /** Starts it on a model. */
  start(context: PeerContext, files: ModelFiles): Promise<Contender>;
}
