import { join } from "node:path";
import { repository } from "../repository.js";

export { repository };
export const driverSources = join(repository, "bench/peer/drivers");
