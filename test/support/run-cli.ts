import { spawn } from "node:child_process";
import type { ChildProcessWithoutNullStreams } from "node:child_process";
import { fileURLToPath } from "node:url";

const main = fileURLToPath(new URL("../../src/cli/dist/main.js", import.meta.url));

/** What came of a command. */
export interface CliResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A running command of the built CLI. */
export interface RunningCli {
  readonly process: ChildProcessWithoutNullStreams;
  /** Resolves when it has ended and its output is complete. */
  readonly result: Promise<CliResult>;
  /** Resolves with the first standard output that matches; rejects if it ends before. */
  seen(pattern: RegExp): Promise<RegExpExecArray>;
}

/** Starts a command as a process of its own. */
export function startCli(args: readonly string[], env: Readonly<Record<string, string>> = {}, cwd?: string): RunningCli {
  const child = spawn(process.execPath, [main, ...args], { env: { ...process.env, ...env }, cwd });
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  const result = new Promise<CliResult>((resolve) => {
    child.on("close", (code) => resolve({ code, stdout, stderr }));
  });
  const seen = (pattern: RegExp): Promise<RegExpExecArray> =>
    new Promise((resolve, reject) => {
      const look = (): void => {
        const match = pattern.exec(stdout);
        if (match !== null) resolve(match);
      };
      look();
      child.stdout.on("data", look);
      child.on("close", () => reject(new Error(`ended without ${pattern}:\n${stdout}\n${stderr}`)));
    });
  return { process: child, result, seen };
}

/** Runs a command to its end. */
export async function runCli(
  args: readonly string[],
  input = "",
  env: Readonly<Record<string, string>> = {},
  cwd?: string,
): Promise<CliResult> {
  const cli = startCli(args, env, cwd);
  cli.process.stdin.end(input);
  return cli.result;
}
