/** Shows a line of a process's log to people: message first, then what else it says. Other lines stay as they are. */
export function formatLogLine(line: string): string {
  const entry = parse(line);
  if (entry === undefined) return line;
  const { level, time: _time, msg, ...rest } = entry;
  const parts = Object.entries(rest).map(([key, value]) => `${key}=${typeof value === "string" ? value : JSON.stringify(value)}`);
  const prefix = level === "warn" || level === "error" ? `${level}: ` : "";
  return prefix + [String(msg), ...parts].join("  ");
}

function parse(line: string): Record<string, unknown> | undefined {
  if (!line.startsWith("{")) return undefined;
  try {
    const value = JSON.parse(line) as Record<string, unknown>;
    return typeof value["msg"] === "string" ? value : undefined;
  } catch {
    return undefined;
  }
}
