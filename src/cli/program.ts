import { readFileSync } from "node:fs";
import { Command } from "commander";
import { adaptersCommand } from "./commands/adapters.js";
import { benchCommand } from "./commands/bench.js";
import { demoCommand } from "./commands/demo.js";
import { generateCommand } from "./commands/generate.js";
import { quantizeCommand } from "./commands/quantize.js";
import { routerCommand } from "./commands/router.js";
import { scoreCommand } from "./commands/score.js";
import { upCommand } from "./commands/up.js";
import { workerCommand } from "./commands/worker.js";

const commands = [
  upCommand,
  generateCommand,
  adaptersCommand,
  scoreCommand,
  benchCommand,
  demoCommand,
  quantizeCommand,
  routerCommand,
  workerCommand,
];

/** The command line of polygraft. Errors are thrown, not printed. */
export function program(): Command {
  const { version } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8")) as { version: string };
  const root = new Command("polygraft")
    .description("Serves one 4-bit base model with hundreds of LoRA adapters.")
    .version(version)
    .addHelpText(
      "after",
      `
Examples:
  polygraft demo
  polygraft up --model ./models/base --adapters ./models/adapters
  polygraft generate --adapter sst2-sentiment $'Review: a warm and funny film .\\nSentiment:'

Every command has its own --help.`,
    )
    .showHelpAfterError("(add --help for what there is)")
    // `bench` and `bench placement` have options of the same names: those after `placement` are its own.
    .enablePositionalOptions();
  for (const make of commands) root.addCommand(make().copyInheritedSettings(root));
  throwErrors(root);
  return root;
}

function throwErrors(command: Command): void {
  command.exitOverride();
  for (const below of command.commands) throwErrors(below.copyInheritedSettings(command));
}
