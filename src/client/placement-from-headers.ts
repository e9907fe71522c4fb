import type { Metadata } from "@grpc/grpc-js";
import type { PlacementExplanation } from "./events.js";

/** What a router says about its choice in the headers of a response; undefined if it does not. */
export function placementFrom(headers: Metadata): PlacementExplanation | undefined {
  const reason = text(headers, "polygraft-placement");
  if (reason === undefined) return undefined;
  const candidates = text(headers, "polygraft-candidates") ?? "";
  return { reason, candidates: candidates === "" ? [] : candidates.split(",") };
}

function text(headers: Metadata, name: string): string | undefined {
  const value = headers.get(name)[0];
  return typeof value === "string" ? value : undefined;
}
