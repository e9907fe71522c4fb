import type { TokenLoad } from "../load.js";
import type { Shape } from "../measure.js";

/** A relay that runs. */
export interface RunningRelay {
  /** Where it listens, on 127.0.0.1. */
  readonly port: number;
  /** Its processes, whose time counts. None: there is nothing between client and backend. */
  readonly processes: () => readonly number[];
  stop(): Promise<void>;
}

/** Something that can stand between client and backend. */
export interface Relay {
  readonly name: string;
  /** Why it cannot run here, such as a program that is not installed. Undefined: it can. */
  missing(): string | undefined;
  /** Starts it in front of a backend on 127.0.0.1. `folder` is its own, for configuration and logs. */
  start(backendPort: number, folder: string): Promise<RunningRelay>;
  /** What asks for streams of so many tokens. Default: a client at the level of frames. */
  load?(tokens: number): TokenLoad;
  /** Whether numbers of that shape would mean something. Default: always. */
  fits?(shape: Shape): boolean;
}

/** Nothing in between: what the harness itself adds. */
export const direct: Relay = {
  name: "direct",
  missing: () => undefined,
  start: async (port) => ({ port, processes: () => [], stop: async () => {} }),
};
