/** Which worker should serve an adapter. Pure functions: no I/O, no clock, no randomness. */
export { type PlacementFleet, type PlacementWorker, prepareFleet } from "./fleet.js";
export { type Hash64, hash64 } from "./hash.js";
export { preferenceList } from "./order.js";
export { type Placement, type PlacementReason, type PlacementRequest, place } from "./place.js";
export { checkPolicy, defaultPolicy, type PlacementPolicy } from "./policy.js";
export { type KeyLoad, replicas } from "./replicas.js";
