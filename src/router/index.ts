/** The router: relays generations to the workers that hold their adapters, and speaks for the fleet. */
export { ApiKeys } from "./admission/api-keys.js";
export { Catalog } from "./catalog/catalog.js";
export { Candidates } from "./dispatch/candidates.js";
export type { Failure, Reason } from "./failure.js";
export { Fleet } from "./fleet/fleet.js";
export type { FleetListener, FleetView, SilenceLimits } from "./fleet/fleet.js";
export type { FleetMember } from "./fleet/member.js";
export { jsonLog } from "./log.js";
export type { Log, LogFields } from "./log.js";
export { runRouter } from "./main.js";
export type { RouterOptions } from "./options.js";
export { defaultRelayOptions, Http2Relay } from "./relay/http2-relay.js";
export type { RelayOptions } from "./relay/http2-relay.js";
export type * from "./relay/relay.js";
export { startRouter } from "./router.js";
export type { Router } from "./router.js";
export { systemTimers } from "./timers.js";
export type { Timers } from "./timers.js";
