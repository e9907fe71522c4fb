#!/usr/bin/env node
import { ExitCode, exitCodeOf, explain } from "./exit.js";
import { Interrupted } from "./interrupt.js";
import { program } from "./program.js";
import { CommanderError } from "commander";

try {
  await program().parseAsync();
} catch (error) {
  // Commander has printed its own errors, and help is none.
  if (!(error instanceof CommanderError) && !(error instanceof Interrupted)) process.stderr.write(`polygraft: ${explain(error)}\n`);
  process.exitCode = error instanceof Interrupted ? ExitCode.interrupted : exitCodeOf(error);
}
