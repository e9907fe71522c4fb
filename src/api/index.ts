/** The contract of polygraft. Everything here is generated from `proto/polygraft/v1`. */
export * from "./generated/polygraft/v1/adapters.js";
export * from "./generated/polygraft/v1/errors.js";
export * from "./generated/polygraft/v1/fleet.js";
export * from "./generated/polygraft/v1/inference.js";
