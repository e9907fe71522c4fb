/** A column of a table. */
export interface Column<Row> {
  readonly title: string;
  readonly cell: (row: Row) => string;
  readonly align?: "left" | "right";
  /** Longer cells are cut. Default: no limit. */
  readonly maxWidth?: number;
}

/** Lays rows out in columns of text, each as wide as its widest cell. */
export function formatTable<Row>(columns: readonly Column<Row>[], rows: readonly Row[]): string {
  const cells = rows.map((row) => columns.map(({ cell, maxWidth }) => shorten(oneLine(cell(row)), maxWidth)));
  const titles = columns.map(({ title }) => title);
  const widths = titles.map((title, index) => Math.max(...[title, ...cells.map((row) => row[index] ?? "")].map(width)));
  const line = (row: readonly string[]): string =>
    row.map((cell, index) => pad(cell, widths[index] ?? 0, columns[index]?.align)).join("  ").trimEnd();
  const rule = widths.map((size) => "─".repeat(size)).join("  ");
  return [line(titles), rule, ...cells.map(line)].join("\n") + "\n";
}

/** Shows line breaks and control characters instead of obeying them: model output must not move the cursor. */
export function oneLine(text: string): string {
  // oxlint-disable-next-line no-control-regex
  return text.replace(/\r?\n/g, "⏎").replace(/[\u0000-\u001f\u007f-\u009f]/g, "·");
}

/** Cuts a text to a width, and shows that it did. */
export function shorten(text: string, maxWidth: number = Infinity): string {
  const characters = [...text];
  return characters.length <= maxWidth ? text : characters.slice(0, maxWidth - 1).join("") + "…";
}

function width(text: string): number {
  return [...text].length;
}

function pad(text: string, size: number, align: "left" | "right" = "left"): string {
  const space = " ".repeat(Math.max(0, size - width(text)));
  return align === "right" ? space + text : text + space;
}
