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
  const widths = header.map((title, column) => Math.max(3, ...[header, ...rows].map((row) => row[column]!.length, title)));
  const right = new Set([2, 3, 5]);
  const line = (row: readonly string[]): string =>
    `| ${row.map((cell, column) => (right.has(column) ? cell.padStart(widths[column]!) : cell.padEnd(widths[column]!))).join(" | ")} |\n`;
  const rule = `|${widths.map((width, column) => (right.has(column) ? `${"-".repeat(width + 1)}:` : "-".repeat(width + 2))).join("|")}|\n`;
  return line(header) + rule + rows.map(line).join("");
}

function speed(tokensPerSecond: number): string {
  return tokensPerSecond >= 100 ? tokensPerSecond.toFixed(0) : tokensPerSecond.toFixed(1);
}

function verdict({ met, ratio, target }: Result): string {
  if (met === null || ratio === null || target === null) return "";
  return met ? "met" : `missed: ${Math.floor((ratio / target) * 100)} % of it`;
}
