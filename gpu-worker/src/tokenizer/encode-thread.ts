import { parentPort, workerData } from "node:worker_threads";
import type { EncodeTask, EncodeThreadData } from "./thread-encoder.js";
import { Tokenizer } from "./tokenizer.js";

// The thread of ThreadEncoder: answers each task with its token ids, in order.

const tokenizer = await Tokenizer.load((workerData as EncodeThreadData).directory);

parentPort?.on("message", ({ id, text, rendered }: EncodeTask) => {
  const ids = Uint32Array.from(rendered ? tokenizer.encodeRendered(text) : tokenizer.encode(text));
  parentPort?.postMessage({ id, ids }, [ids.buffer]);
});
