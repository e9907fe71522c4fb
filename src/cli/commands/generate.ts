import { text as readAll } from "node:stream/consumers";
import { Polygraft } from "@polygraft/client";
import type { ChatMessage, GenerateRequest, GenerationResult } from "@polygraft/client";
import { Command } from "commander";
import { decimal, integer, repeated, seed } from "../arguments.js";
import { addConnectionOptions, clientOptions } from "../client-options.js";
import type { ConnectionOptions } from "../client-options.js";
import { UsageError } from "../exit.js";
import { interruptible } from "../interrupt.js";
import { Stdout } from "../output/stdout.js";

interface GenerateOptions extends ConnectionOptions {
  readonly direct?: boolean;
  readonly adapter?: string;
  readonly chat?: boolean;
  readonly system?: string;
  readonly maxTokens?: number;
  readonly temperature?: number;
  readonly topK?: number;
  readonly topP?: number;
  readonly minP?: number;
  readonly repetitionPenalty?: number;
  readonly seed?: bigint;
  readonly stop?: readonly string[];
  readonly timeout: number;
  readonly json?: boolean;
}

/** `polygraft generate`: one prompt, one answer. */
export function generateCommand(): Command {
  return addConnectionOptions(new Command("generate"))
    .summary("generate text")
    .description("Generates text with the base model or one of its adapters, and streams it to standard output.")
    .argument("<prompt>", 'the prompt; "-" reads it from standard input')
    .option("--direct", "follow the fleet and stream straight from the worker, where it can be reached")
    .option("-a, --adapter <name[@revision]>", "adapter to use (default: the base model)")
    .option("-n, --max-tokens <n>", "most tokens to generate (default: 256)", integer(0, 2 ** 32 - 1))
    .option("-t, --temperature <t>", "0 takes the most probable token (default: 0)", decimal(0, 10))
    .option("--top-k <k>", "keep the k most probable tokens; 0 keeps all", integer(0, 2 ** 32 - 1))
    .option("--top-p <p>", "keep the most probable tokens up to this probability", decimal(0, 1))
    .option("--min-p <p>", "drop tokens less probable than this share of the best", decimal(0, 1))
    .option("--repetition-penalty <x>", "above 1 discourages repetition", decimal(0, 10))
    .option("-s, --seed <n>", "seed of the draws", seed)
    .option("--stop <text>", "end before this text; may be given several times", repeated((value) => value))
    .option("-c, --chat", "treat the prompt as a user's message, in the model's chat template")
    .option("--system <text>", "with --chat: a system message before it")
    .option("--timeout <seconds>", "time for the whole call", decimal(0.001, 86_400), 600)
    .option("--json", "print one line of JSON at the end instead of streaming")
    .addHelpText(
      "after",
      `
Examples:
  polygraft generate "Once upon a time"
  polygraft generate --adapter sst2-sentiment --max-tokens 4 $'Review: a warm and funny film .\\nSentiment:'
  polygraft generate --chat --temperature 0.7 --seed 7 "Name three rivers."
  polygraft generate --json - < prompt.txt | jq -r .text

The environment variable POLYGRAFT_API_KEY holds the key, if the router asks for one.
Exit codes: 0 done, 1 failure, 2 wrong usage, 3 the server refused the request, 4 unavailable, 130 Ctrl-C.`,
    )
    .action(generate);
}

async function generate(prompt: string, options: GenerateOptions): Promise<void> {
  const request = toRequest(prompt === "-" ? await readAll(process.stdin) : prompt, options);
  const connection = await clientOptions(options);
  await using client = new Polygraft({ ...connection, ...(options.direct === true ? { direct: true } : {}) });
  await interruptible(async (interrupted) => {
    const output = new Stdout();
    const signal = AbortSignal.any([interrupted, output.closed]);
    const generation = client.generate(request, { signal, timeoutMs: options.timeout * 1000 });
    try {
      if (options.json === true) return await output.write(toJson(await generation.final()));
      let last = "";
      for await (const text of generation.textStream()) {
        await output.write(text);
        last = text;
      }
      if (!last.endsWith("\n")) await output.write("\n");
    } catch (error) {
      // Whoever read our output has had enough: that is no failure.
      if (!output.closed.aborted) throw error;
    }
  });
}

function toRequest(prompt: string, options: GenerateOptions): GenerateRequest {
  const { router: _r, tlsCa: _a, tlsCert: _c, tlsKey: _k, tlsName: _n, timeout: _t, json: _j, ...more } = options;
  const { direct: _d, chat = false, system, ...rest } = more;
  if (system !== undefined && !chat) throw new UsageError("--system needs --chat: only a chat template knows system messages");
  if (!chat) return { prompt, ...rest };
  const messages: ChatMessage[] = system === undefined ? [] : [{ role: "system", content: system }];
  return { prompt: [...messages, { role: "user", content: prompt }], ...rest };
}

/** One line with what scripts want to know. */
function toJson(result: GenerationResult): string {
  const { text, tokenIds, finishReason, stopText, usage, worker, model, adapter, tier, seed, requestId, timings } = result;
  return (
    JSON.stringify({
      text,
      tokenIds,
      finishReason,
      stopText,
      usage,
      worker,
      model,
      adapter,
      tier,
      // A seed has 64 bits: as a JSON number most readers would round it.
      seed: String(seed),
      requestId,
      ttftMs: round(timings.firstTokenMs),
      totalMs: round(timings.totalMs),
      timings: { queueMs: timings.queueMs, prefillMs: timings.prefillMs, decodeMs: timings.decodeMs },
    }) + "\n"
  );
}

function round(milliseconds: number): number {
  return Math.round(milliseconds * 1000) / 1000;
}
