import type { Setup } from "./cases.js";

/** What a driver says; see `drivers/protocol.h`. */
export type Reply =
  | { readonly driver: string; readonly device: string }
  | { readonly ready: true; readonly note: string }
  | { readonly unsupported: string }
  | { readonly tokens: number; readonly seconds: number }
  | { readonly ended: true }
  | { readonly error: string };

export function setupLine({ kind, streams, context, adapters, bases = 0, tokens }: Setup): string {
  const mixed = bases > 0 ? ` bases=${bases}` : "";
  return `setup kind=${kind} streams=${streams} context=${context} adapters=${adapters}${mixed} tokens=${tokens}`;
}

/** Reads a line of a driver's output. Undefined if it is none of the protocol's: libraries print, too. */
export function parseReply(line: string): Reply | undefined {
  if (!line.startsWith("{")) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return undefined;
  }
  const { driver, device, ready, note, unsupported, tokens, seconds, ended, error } = value as Record<string, unknown>;
  if (typeof error === "string") return { error };
  if (typeof unsupported === "string") return { unsupported };
  if (ended === true) return { ended };
  if (ready === true) return { ready, note: typeof note === "string" ? note : "" };
  if (typeof driver === "string" && typeof device === "string") return { driver, device };
  if (isPositive(tokens) && isPositive(seconds)) return { tokens, seconds };
  return undefined;
}

function isPositive(value: unknown): value is number {
  return typeof value === "number" && Number.isFinite(value) && value > 0;
}
