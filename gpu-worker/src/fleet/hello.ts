import { randomUUID } from "node:crypto";
import type { WorkerHello } from "@polygraft/api";
import type { EngineInfo } from "../engine/engine.js";
import type { WorkerIdentity } from "../identity.js";
import { rankUnitBytes } from "./rank-units.js";
import { VERSION } from "../version.js";

/** What a worker says of itself beyond its engine. */
export interface HelloOptions {
  readonly identity: WorkerIdentity;
  /** Where routers reach it, as "host:port". */
  readonly address: string;
  /** Whether it speaks TLS there. */
  readonly tls: boolean;
  readonly weight: number;
  readonly zone: string;
}

/** A worker's greeting. Each one is of a new epoch: make one for each start of the process. */
export function makeHello({ identity, address, tls, weight, zone }: HelloOptions, info: EngineInfo): WorkerHello {
  return {
    name: identity.name,
    epoch: randomUUID(),
    address,
    tls,
    weight,
    zone,
    model: {
      name: identity.model,
      digest: info.digest,
      contextLength: info.contextLength,
      vocabularySize: info.vocabularySize,
      weights: info.weights,
      device: info.device,
    },
    capacity: {
      maxSequences: info.maxSequences,
      maxStepTokens: info.maxStepTokens,
      maxQueue: info.maxQueue,
      adapterBytes: BigInt(info.adapterBytes),
      adapterRankUnits: Math.floor(info.adapterBytes / rankUnitBytes(info)),
      kvBlocks: info.kvBlocks,
      kvBlockTokens: info.kvBlockTokens,
    },
    version: VERSION,
  };
}
