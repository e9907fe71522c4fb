import { readFile } from "node:fs/promises";
import { text as readAll } from "node:stream/consumers";
import { Command } from "commander";
import { servedModel } from "../fleet/served-model.js";
import { addServerOptions, withServer } from "../fleet/with-server.js";
import type { ServerOptions } from "../fleet/with-server.js";
import { interruptible } from "../interrupt.js";
import { Stdout } from "../output/stdout.js";
import { scoreText } from "../score/score-text.js";

interface ScoreCommandOptions extends ServerOptions {
  readonly adapter?: string;
  readonly json?: boolean;
}

/** `polygraft score`: how probable a text is. */
export function scoreCommand(): Command {
  return addServerOptions(new Command("score"))
    .summary("score a text: log-probabilities and perplexity")
    .description(
      "Computes the log-probability of every token of a text given those before it, through the served system.\n" +
        "A text longer than the context is cut at spaces into windows, each scored by itself.",
    )
    .argument("<file>", 'the text; "-" reads standard input')
    .option("-a, --adapter <name[@revision]>", "adapter to use (default: the base model)")
    .option("--json", "print one JSON object, with the log-probability of each token")
    .addHelpText(
      "after",
      `
Examples:
  polygraft score --model ./models/base article.txt
  polygraft score --model ./models/base --adapters ./models/adapters --adapter viggo-sentence article.txt
  polygraft score --router 127.0.0.1:50051 --json - < article.txt | jq .perplexity`,
    )
    .action(score);
}

async function score(file: string, options: ScoreCommandOptions): Promise<void> {
  const text = file === "-" ? await readAll(process.stdin) : await readFile(file, "utf8");
  const result = await interruptible((signal) =>
    withServer(options, signal, async (client) => {
      const contextLength = (await servedModel(client, signal))?.model.contextLength;
      const onProgress = (done: number): void => {
        if (process.stderr.isTTY && options.json !== true) process.stderr.write(`\rscored ${done} of ${text.length} characters`);
      };
      const scored = await scoreText(client, text, { adapter: options.adapter, contextLength, signal, onProgress });
      if (process.stderr.isTTY && options.json !== true) process.stderr.write("\n");
      return scored;
    }),
  );
  const { tokens, ...summary } = result;
  const output = new Stdout();
  if (options.json === true) return output.write(JSON.stringify({ adapter: options.adapter ?? null, ...summary, tokens }) + "\n");
  await output.write(
    [
      `tokens      ${summary.scoredTokens} scored, ${tokens.length} in all, ${summary.windows} window(s)`,
      `total nll   ${summary.nll.toFixed(4)}`,
      `mean nll    ${summary.meanNll.toFixed(6)}`,
      `perplexity  ${summary.perplexity.toFixed(4)}`,
      "",
    ].join("\n"),
  );
}
