import type { EngineInfo } from "../engine/engine.js";

/** Projections of a layer that adapters can change. */
const PROJECTIONS = 7;
/** Of the 16-bit types that most adapters are stored in. */
const ELEMENT_BYTES = 2;

/**
 * Bytes of one rank unit: about what one rank of an adapter of all projections takes in 16 bits, each projection taken
 * as hidden × hidden. Routers measure adapters of known bytes in this unit, so only those that no worker has opened yet
 * are counted by their rank.
 */
export function rankUnitBytes({ layers, hiddenSize }: EngineInfo): number {
  return layers * PROJECTIONS * 2 * hiddenSize * ELEMENT_BYTES;
}
