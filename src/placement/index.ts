/** Which worker should serve an adapter. Pure functions: no I/O, no clock, no randomness. */
export { DEFAULT_EPSILON, DEFAULT_FLOOR_TOKENS } from "./bounds.js";
export { type PlacementFleet, type PlacementWorker, prepareFleet } from "./fleet.js";
export { type Hash64, hash64 } from "./hash.js";
export {
  type Placement,
  type PlacementPolicy,
  type PlacementReason,
  type PlacementRequest,
  place,
} from "./place.js";
export { preferenceList } from "./rendezvous.js";
