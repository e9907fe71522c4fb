import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** The repository; this file is built to bench/dist/peer. */
export const repository = fileURLToPath(new URL("../../../", import.meta.url));
export const driverSources = join(repository, "bench/peer/drivers");
