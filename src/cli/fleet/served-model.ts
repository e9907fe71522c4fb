import { PolygraftError } from "@polygraft/client";
import type { ModelInfo, Polygraft } from "@polygraft/client";

/** The base model that a fleet serves, and by how many workers; undefined when the server is no router and cannot say. */
export async function servedModel(
  client: Polygraft,
  signal: AbortSignal,
): Promise<{ readonly model: ModelInfo; readonly workers: number } | undefined> {
  try {
    for await (const { workers } of client.fleet.watch({ signal, timeoutMs: 10_000 })) {
      const model = workers.find(({ state }) => state === "ready")?.model;
      if (model !== undefined) return { model, workers: workers.length };
    }
  } catch (error) {
    if (!(error instanceof PolygraftError) || error.status !== "UNIMPLEMENTED") throw error;
  }
  return undefined;
}
