import { createRequire } from "node:module";

/** Version of polygraft. */
export const VERSION = (createRequire(import.meta.url)("../package.json") as { readonly version: string }).version;
