import { invalidFields } from "../failure.js";
import type { OutputText } from "../tokenizer/output-text.js";
import type { Plan } from "./plan.js";

/**
 * Feeds the output that the caller has already, so that what follows continues it exactly. Returns the text of it that
 * the caller does not have yet: tokens can run ahead of text.
 */
export function feedResumed({ resumedIds, resumedBytes }: Plan, output: OutputText): string {
  let text = "";
  for (const id of resumedIds) {
    text += output.push(id);
    if (output.stopText !== undefined) break;
  }
  const bytes = Buffer.from(text);
  const refuse = (description: string): Error => invalidFields([{ field: "resume.text_bytes", description }]);
  if (resumedBytes > bytes.length) {
    throw refuse(`is ${resumedBytes}, but resume.token_ids give only ${bytes.length} bytes of final text`);
  }
  const next = bytes[resumedBytes];
  if (next !== undefined && (next & 0xc0) === 0x80) throw refuse(`is ${resumedBytes}, in the middle of a character`);
  return bytes.subarray(resumedBytes).toString();
}
