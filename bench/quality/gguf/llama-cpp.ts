import { spawn } from "node:child_process";
import { join } from "node:path";
import type { Scores } from "../compare.js";
import { repository } from "../../repository.js";

const tool = join(repository, "bench/quality/gguf/llama_cpp_tool.py");

/** llama.cpp in a Python that has llama-cpp-python, gguf, safetensors and torch. */
export class LlamaCpp {
  readonly #python: string;
  readonly #threads: number;

  constructor(python: string, threads: number) {
    this.#python = python;
    this.#threads = threads;
  }

  /** Writes a Hugging Face folder as a GGUF file in f32. */
  async convert(folder: string, target: string): Promise<void> {
    await this.#run(["convert", folder, target]);
  }

  /** Quantizes an f32 file as llama-quantize does. `type`: Q4_0, Q4_K_M, … */
  async quantize(source: string, target: string, type: string): Promise<void> {
    await this.#run(["quantize", source, target, type]);
  }

  /** Scores texts, token ids, each by itself. */
  async score(file: string, texts: readonly Uint32Array[]): Promise<Scores> {
    const lines = texts.map((tokens) => `${JSON.stringify([...tokens])}\n`).join("");
    const output = await this.#run(["score", file, String(this.#threads)], lines);
    const parts = output.trimEnd().split("\n").map((line) => JSON.parse(line) as { logprobs: number[]; best: number[] });
    if (parts.length !== texts.length) throw new Error(`llama.cpp scored ${parts.length} of ${texts.length} texts`);
    return {
      logprobs: Float64Array.from(parts.flatMap(({ logprobs }) => logprobs)),
      best: Uint32Array.from(parts.flatMap(({ best }) => best)),
    };
  }

  async #run(args: readonly string[], input = ""): Promise<string> {
    const child = spawn(this.#python, [tool, ...args], { stdio: ["pipe", "pipe", "pipe"] });
    let output = "";
    let errors = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => (output += text));
    child.stderr.setEncoding("utf8").on("data", (text: string) => (errors = (errors + text).slice(-2000)));
    child.stdin.on("error", () => {}); // it ended early: its exit code tells
    child.stdin.end(input);
    const how = await new Promise<string>((resolve) => {
      child.on("error", (error) => resolve(error.message));
      child.on("close", (code, signal) => resolve(code === 0 ? "" : `ended with ${signal ?? `exit code ${code}`}`));
    });
    if (how !== "") throw new Error(`${this.#python} ${tool} ${args[0]}: ${how}\n${errors}`);
    return output;
  }
}
