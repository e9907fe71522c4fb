/** What an entry says beside its message. Never secrets, prompts or outputs. */
export type LogFields = Readonly<Record<string, string | number | boolean>>;

/** Where the router says what happens to it. Quiet per request. */
export interface Log {
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
}

/** A log whose entries all say these fields, too. */
export function logWith(log: Log, more: LogFields): Log {
  const entry = (level: keyof Log) => (message: string, fields: LogFields = {}) => log[level](message, { ...more, ...fields });
  return { info: entry("info"), warn: entry("warn"), error: entry("error") };
}

/** One JSON object a line: `time`, `level`, `msg`, and the fields. */
export function jsonLog(write: (line: string) => void, now: () => Date = () => new Date()): Log {
  const entry = (level: string) => (msg: string, fields: LogFields = {}) => {
    write(`${JSON.stringify({ time: now().toISOString(), level, msg, ...fields })}\n`);
  };
  return { info: entry("info"), warn: entry("warn"), error: entry("error") };
}
