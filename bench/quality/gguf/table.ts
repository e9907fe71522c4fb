import { markdownTable } from "../../markdown-table.js";
import { percentChange } from "../table.js";
import type { GgufRow } from "./measure.js";

const titles = ["file", "MB", "engine", "held as", "perplexity", "change", "same top-1", "mean abs. Δ log p"];

/** A Markdown table for each model. */
export function ggufTables(rows: readonly GgufRow[]): string {
  const subjects = [...new Set(rows.map(({ subject }) => subject))];
  return subjects.map((name) => {
    const ofSubject = rows.filter(({ subject }) => subject === name);
    return `**${name}**, ${ofSubject[0]?.tokens ?? 0} tokens\n\n${markdownTable(titles, ofSubject.map(cells), [1, 4, 5, 6, 7])}`;
  }).join("\n");
}

function cells(row: GgufRow): string[] {
  return [
    row.engine === "exact" ? row.file : "",
    row.engine === "exact" ? (row.bytes / 1e6).toFixed(1) : "",
    row.engine,
    row.weights,
    row.perplexity.toFixed(3),
    percentChange(row),
    `${(100 * row.sameBest).toFixed(1)} %`,
    row.meanAbsolute.toFixed(4),
  ];
}
