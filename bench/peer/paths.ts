import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** The repository, seen from this file and from what it is built to, bench/dist/peer. */
export const repository = fileURLToPath(new URL(import.meta.url.includes("/bench/dist/") ? "../../../" : "../../", import.meta.url));
export const driverSources = join(repository, "bench/peer/drivers");
