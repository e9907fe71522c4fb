/** Rows as a Markdown table: pasted into a document, or read as it is. `right`: columns of numbers, by index. */
export function markdownTable(header: readonly string[], rows: readonly (readonly string[])[], right: readonly number[]): string {
  const widths = header.map((title, column) => Math.max(3, ...[title, ...rows.map((row) => row[column] ?? "")].map(({ length }) => length)));
  const isRight = new Set(right);
  const line = (row: readonly string[]): string =>
    `| ${row.map((cell, column) => (isRight.has(column) ? cell.padStart(widths[column] ?? 0) : cell.padEnd(widths[column] ?? 0))).join(" | ")} |\n`;
  const rule = `|${widths.map((width, column) => (isRight.has(column) ? `${"-".repeat(width + 1)}:` : "-".repeat(width + 2))).join("|")}|\n`;
  return line(header) + rule + rows.map(line).join("");
}
