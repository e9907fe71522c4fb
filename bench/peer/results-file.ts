import { appendFile, readFile } from "node:fs/promises";
import type { Result } from "./result.js";

/** Rows kept in a file, one JSON object a line, so that a long run can be made in pieces. */
export class ResultsFile {
  readonly results: Result[];
  readonly #path: string | undefined;

  private constructor(path: string | undefined, results: Result[]) {
    this.#path = path;
    this.results = results;
  }

  /** Reads what is there already. Without a path nothing is kept. */
  static async open(path: string | undefined): Promise<ResultsFile> {
    if (path === undefined) return new ResultsFile(undefined, []);
    const text = await readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return "";
      throw error;
    });
    const results = text
      .split("\n")
      .map((line, index) => ({ line, number: index + 1 }))
      .filter(({ line }) => line !== "")
      .map(({ line, number }) => parseResult(line, `${path}, line ${number}`));
    return new ResultsFile(path, results);
  }

  has(result: Pick<Result, "case" | "shape" | "neighbour">): boolean {
    return this.results.some(
      (it) => it.case === result.case && it.shape === result.shape && it.neighbour === result.neighbour,
    );
  }

  async add(result: Result): Promise<void> {
    this.results.push(result);
    if (this.#path !== undefined) await appendFile(this.#path, `${JSON.stringify(result)}\n`);
  }
}

function parseResult(line: string, where: string): Result {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    throw new Error(`${where} is no JSON: give a file that --append has written, or a new one`);
  }
  const { case: id, title, shape, ours } = (value ?? {}) as Partial<Result>;
  if (typeof id !== "string" || typeof title !== "string" || typeof shape !== "string" || typeof ours !== "number") {
    throw new Error(`${where} is no row of this benchmark: give a file that --append has written, or a new one`);
  }
  return value as Result;
}
