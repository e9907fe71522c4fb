/** Which worker should serve an adapter, and the books kept for that. No I/O, no clock, no randomness. */
export { type AdapterPresence, CandidateFinder, type CandidateSet, type CandidateWorker, type KnownFleet } from "./candidates.js";
export { type PlacementFleet, type PlacementWorker, prepareFleet } from "./fleet.js";
export { type Hash64, hash64 } from "./hash.js";
export { adapterKey, placementKey } from "./keys.js";
export { type LiveFleet, type LiveWorker } from "./live-fleet.js";
export { type Dispatched, type LoadReport, LoadTally } from "./load-tally.js";
export { ModelFleets } from "./model-fleets.js";
export { preferenceList } from "./order.js";
export { type Placement, type PlacementReason, type PlacementRequest, place } from "./place.js";
export { checkPolicy, defaultPolicy, type PlacementPolicy, resolvePolicy } from "./policy.js";
export { type AdapterRoom, type AdapterSize, rankUnitsOf } from "./rank-units.js";
export { prefers } from "./rendezvous.js";
export { RetryBudget, type RetryLimits } from "./retry-budget.js";
export { type KeyLoad, replicas } from "./replicas.js";
