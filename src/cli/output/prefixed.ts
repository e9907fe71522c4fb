/** Puts a name before each line of a text, in a column of its own. */
export function prefixed(name: string, text: string, width = 10): string {
  const prefix = `${name.padEnd(width)} │ `;
  return text
    .split("\n")
    .map((line) => `${prefix}${line}\n`)
    .join("");
}
