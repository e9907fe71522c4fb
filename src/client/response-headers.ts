import type { Metadata } from "@grpc/grpc-js";
import type { PlacementExplanation } from "./events.js";
import { weightsHeader } from "./resumption.js";

/** What a router says about its choice in the headers of a response; undefined if it does not. */
export function placementFrom(headers: Metadata): PlacementExplanation | undefined {
  const reason = text(headers, "polygraft-placement");
  if (reason === undefined) return undefined;
  const candidates = text(headers, "polygraft-candidates") ?? "";
  return { reason, candidates: candidates === "" ? [] : candidates.split(",") };
}

/** Digest of the weights that answer; undefined if the server does not say. */
export function weightsFrom(headers: Metadata): string | undefined {
  return text(headers, weightsHeader);
}

function text(headers: Metadata, name: string): string | undefined {
  const value = headers.get(name)[0];
  return typeof value === "string" ? value : undefined;
}
