import { Template } from "@huggingface/jinja";

/** One turn of a conversation. */
export interface ChatTurn {
  readonly role: string;
  readonly content: string;
}

/** Why a conversation could not be turned into text: the template itself says so, as for two user turns in a row. */
export class ChatTemplateError extends Error {
  override readonly name = "ChatTemplateError";
}

/** A model's chat template: Jinja, as Hugging Face tokenizers carry it. */
export class ChatTemplate {
  private readonly template: Template;
  private readonly specialTokens: Readonly<Record<string, string>>;

  /** `specialTokens` are the template's variables such as `bos_token`. Throws if the source is no template. */
  constructor(source: string, specialTokens: Readonly<Record<string, string>>) {
    this.template = new Template(source);
    this.specialTokens = specialTokens;
  }

  /** The prompt text of a conversation. `addGenerationPrompt` appends the start of an assistant turn. */
  render(messages: readonly ChatTurn[], addGenerationPrompt: boolean): string {
    try {
      return this.template.render({
        ...this.specialTokens,
        messages: messages.map(({ role, content }) => ({ role, content })),
        add_generation_prompt: addGenerationPrompt,
      });
    } catch (error) {
      throw new ChatTemplateError(error instanceof Error ? error.message : String(error), { cause: error });
    }
  }
}
