/** For tests of programs that use the SDK: a server that says what the test wants. */
export { TestServer } from "./test-server.js";
export type { Reply } from "./test-server.js";
