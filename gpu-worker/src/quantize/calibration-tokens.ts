import { readFile, stat } from "node:fs/promises";
import { EngineError } from "../engine/engine.js";
import { Tokenizer } from "../tokenizer/tokenizer.js";

/** Fewer tell nothing about how the inputs of a layer depend on each other. */
const FEWEST_TOKENS = 256;
const MAX_FILE_BYTES = 64 * 1024 * 1024;
/** UTF-16 units that are tokenized at a time, so that a long file is not tokenized in vain. */
const PIECE_UNITS = 16_384;

/**
 * The first `count` tokens of a file of texts: JSON lines, each a string or an object with a "text", if its name ends with
 * ".jsonl", else one text as a whole.
 * @throws EngineError naming the file and what is wrong with it.
 */
export async function calibrationTokens(file: string, model: string, count: number): Promise<Uint32Array> {
  const text = await readBounded(file);
  const tokenizer = await Tokenizer.load(model);
  const tokens: number[] = [];
  for (const piece of pieces(file.endsWith(".jsonl") ? jsonLines(text, file) : [text])) {
    for (const token of tokenizer.encode(piece)) tokens.push(token);
    if (tokens.length >= count) break;
  }
  if (tokens.length < FEWEST_TOKENS) {
    throw invalid(`${file} has ${tokens.length} tokens; calibration needs at least ${FEWEST_TOKENS}, and several thousand do better`);
  }
  return Uint32Array.from(tokens.slice(0, count));
}

async function readBounded(file: string): Promise<string> {
  try {
    const { size } = await stat(file);
    if (size > MAX_FILE_BYTES) throw invalid(`${file} has ${size} bytes; at most ${MAX_FILE_BYTES} are read: take a sample of it`);
    return await readFile(file, "utf8");
  } catch (error) {
    if (error instanceof EngineError) throw error;
    throw new EngineError("NOT_FOUND", `the texts to calibrate with cannot be read: ${(error as Error).message}`, "calibrate");
  }
}

function* jsonLines(text: string, file: string): Generator<string> {
  let number = 0;
  for (const line of text.split("\n")) {
    number += 1;
    if (line.trim() === "") continue;
    const value = parseLine(line);
    const content = typeof value === "object" && value !== null && "text" in value ? value.text : value;
    if (typeof content !== "string") throw invalid(`${file}, line ${number}, is neither a JSON string nor an object with a "text"`);
    yield content;
  }
}

function parseLine(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}

/** Long texts cut at spaces. */
function* pieces(texts: Iterable<string>): Generator<string> {
  for (const text of texts) {
    let start = 0;
    while (text.length - start > PIECE_UNITS) {
      const space = text.lastIndexOf(" ", start + PIECE_UNITS);
      const end = space > start ? space : start + PIECE_UNITS;
      yield text.slice(start, end);
      start = end;
    }
    yield text.slice(start);
  }
}

function invalid(message: string): EngineError {
  return new EngineError("INVALID_ARGUMENT", message, "calibrate");
}
