import { markdownTable } from "../markdown-table.js";
import type { Difference } from "./compare.js";
import type { Row } from "./measure.js";

const titles = ["weights", "head", "activations", "perplexity", "change", "same top-1", "mean abs. Δ log p", "slope", "correlation"];

/** A Markdown table for each model, with what it was measured on. */
export function qualityTables(rows: readonly Row[]): string {
  const subjects = [...new Set(rows.map(({ subject }) => subject))];
  return subjects.map((name) => {
    const ofSubject = rows.filter(({ subject }) => subject === name);
    const { tokens = 0, adapterTokens = 0 } = ofSubject[0] ?? {};
    const table = markdownTable(titles, ofSubject.map(cells), [3, 4, 5, 6, 7, 8]);
    return `**${name}**, ${tokens} tokens, ${adapterTokens} with the adapter\n\n${table}`;
  }).join("\n");
}

function cells(row: Row): string[] {
  const reference = row.headBits === 32;
  return [
    row.weights,
    reference ? "f32" : String(row.headBits),
    row.activations,
    row.perplexity.toFixed(3),
    reference ? "" : percentChange(row),
    reference ? "" : `${(100 * row.sameBest).toFixed(1)} %`,
    reference ? "" : row.meanAbsolute.toFixed(4),
    reference ? "" : row.slope.toFixed(3),
    reference ? "" : row.correlation.toFixed(4),
  ];
}

/** Of the perplexity, with its standard error. */
export function percentChange({ perplexityChange, perplexityError }: Difference): string {
  return `${percent(perplexityChange)} ± ${(100 * perplexityError).toFixed(2)} %`;
}

function percent(share: number): string {
  return `${share >= 0 ? "+" : "−"}${(100 * Math.abs(share)).toFixed(2)}`;
}
