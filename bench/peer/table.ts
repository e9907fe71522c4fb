import { markdownTable } from "../markdown-table.js";
import type { Result } from "./result.js";

/** The rows as a Markdown table: pasted into a document, or read as it is. */
export function formatTable(results: readonly Result[]): string {
  const header = ["shape", "case", "polygraft", "best peer", "", "ratio", "target", ""];
  const rows = results.map((result) => [
    result.shape + (result.neighbour ? " + busy neighbour" : ""),
    result.title,
    speed(result.ours),
    result.peer === null ? "–" : speed(result.peer),
    result.peerName ?? "",
    result.ratio === null ? "–" : `${result.ratio.toFixed(2)}×`,
    result.target === null ? "" : `≥ ${result.target}`,
    verdict(result),
  ]);
  return markdownTable(header, rows, [2, 3, 5]);
}

function speed(tokensPerSecond: number): string {
  return tokensPerSecond >= 100 ? tokensPerSecond.toFixed(0) : tokensPerSecond.toFixed(1);
}

function verdict({ met, ratio, target }: Result): string {
  if (met === null || ratio === null || target === null) return "";
  return met ? "met" : `missed: ${Math.floor((ratio / target) * 100)} % of it`;
}
