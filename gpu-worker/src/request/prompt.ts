import { Failure, invalidFields } from "../failure.js";
import { ChatTemplateError } from "../tokenizer/chat-template.js";
import type { PromptEncoder } from "../tokenizer/prompt-encoder.js";
import type { Tokenizer } from "../tokenizer/tokenizer.js";
import { DEFAULT_MAX_TOKENS } from "./make-plan.js";
import type { Plan } from "./plan.js";

/** A prompt in tokens, with the output that the caller has already at its end. */
export interface EncodedPrompt {
  readonly tokens: Uint32Array;
  /** Tokens of the prompt proper. */
  readonly promptTokens: number;
  /** Most output tokens, those that the caller has included. */
  readonly maxTokens: number;
  /** Whether there is text in the prompt, so that the output continues it. */
  readonly continues: boolean;
}

/** Tokenizes a prompt, and checks that it fits into the context together with at least one token of output. */
export async function encodePrompt(plan: Plan, encoder: PromptEncoder, context: number): Promise<EncodedPrompt> {
  const ids = await tokenize(plan, encoder, context);
  if (ids.length === 0) throw invalidFields([{ field: plan.prompt.$case, description: "gives no token at all" }]);
  const resumed = plan.resumedIds;
  const total = ids.length + resumed.length;
  // A resumed stream that has filled the context is told so by the engine, as the undisturbed one was.
  const needed = plan.maxTokens === 0 || resumed.length > 0 ? total : total + 1;
  if (needed > context) throw tooLong(`has ${total} tokens`, context);
  const tokens = new Uint32Array(total);
  tokens.set(ids);
  tokens.set(resumed, ids.length);
  return {
    tokens,
    promptTokens: ids.length,
    maxTokens: plan.maxTokens ?? Math.min(DEFAULT_MAX_TOKENS, context - ids.length),
    continues: tokens.subarray(0, ids.length).some((id) => encoder.tokenizer.pieces.piece(id).length > 0),
  };
}

async function tokenize({ prompt }: Plan, encoder: PromptEncoder, context: number): Promise<ArrayLike<number>> {
  if (prompt.$case === "tokenIds") return prompt.value.ids;
  const { tokenizer } = encoder;
  const rendered = prompt.$case === "chat";
  const text = rendered ? render(prompt.value, tokenizer) : prompt.value;
  // Hopeless however it is cut into tokens, and reading it would take a long time.
  const fewest = tokenizer.fewestTokens(text.length);
  if (fewest > context) throw tooLong(`has at least ${fewest} tokens`, context);
  return encoder.encode(text, rendered);
}

type Chat = Extract<Plan["prompt"], { $case: "chat" }>["value"];

function render({ messages, addGenerationPrompt = true }: Chat, tokenizer: Tokenizer): string {
  if (!tokenizer.chatTemplate) {
    const message = "chat: the model has no chat template; send the prompt as text, in the form that the model was trained on";
    throw new Failure("UNSUPPORTED_FEATURE", message, { metadata: { field: "chat" } });
  }
  try {
    return tokenizer.chatTemplate.render(messages, addGenerationPrompt);
  } catch (error) {
    if (!(error instanceof ChatTemplateError)) throw error;
    throw invalidFields([{ field: "chat.messages", description: `the model's chat template refuses them: ${error.message}` }]);
  }
}

function tooLong(problem: string, context: number): Failure {
  const description = `${problem}; the context holds ${context}, prompt and output together`;
  return new Failure("PROMPT_TOO_LONG", `prompt: ${description}`, {
    metadata: { context_length: String(context) },
    violations: [{ field: "prompt", description }],
  });
}
