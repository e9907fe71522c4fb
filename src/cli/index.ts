/** What programs and tests use of the command: a whole fleet on this machine. */
export { LocalFleet } from "./fleet/local-fleet.js";
export type { LocalFleetOptions } from "./fleet/local-fleet.js";
