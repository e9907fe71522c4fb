import { fileURLToPath } from "node:url";

/** The repository, seen from this file and from what it is built to, bench/dist. */
export const repository = fileURLToPath(new URL(import.meta.url.includes("/bench/dist/") ? "../../" : "../", import.meta.url));
