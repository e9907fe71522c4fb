import { llamaCpp } from "./llama-cpp.js";
import { openVino } from "./openvino.js";
import type { Peer } from "./peer.js";
import { vllm } from "./vllm.js";

/** All programs that polygraft can be measured against. */
export const peers: readonly Peer[] = [llamaCpp, openVino, vllm];
