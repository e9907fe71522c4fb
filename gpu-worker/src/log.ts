/** What an entry says beside its message. Never secrets, prompts or outputs. */
export type LogFields = Readonly<Record<string, string | number | boolean>>;

/** Where the worker says what happens to it. Quiet per request. */
export interface Log {
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
}

/** One JSON object a line: `time`, `level`, `msg`, and the fields. */
export function jsonLog(write: (line: string) => void): Log {
  const entry =
    (level: string) =>
    (msg: string, fields: LogFields = {}): void => {
      write(`${JSON.stringify({ time: new Date().toISOString(), level, msg, ...fields })}\n`);
    };
  return { info: entry("info"), warn: entry("warn"), error: entry("error") };
}
