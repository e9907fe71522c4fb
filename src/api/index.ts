/** The contract of polygraft. Everything here is generated from `proto/polygraft/v1`. */
export * from "./generated/polygraft/v1/adapters.js";
export * from "./generated/polygraft/v1/errors.js";
export * from "./generated/polygraft/v1/direct.js";
export * from "./generated/polygraft/v1/fleet.js";
export * from "./generated/polygraft/v1/inference.js";
// Generated into two files alike: named here so that the star exports above do not clash.
export type { ServerStreamingMethodResult } from "./generated/polygraft/v1/inference.js";
