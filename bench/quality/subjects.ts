import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { repository } from "../repository.js";

/** A model that is measured, with its texts. */
export interface Subject {
  readonly name: string;
  /** Hugging Face folder. */
  readonly model: string;
  /** Texts of the kind that the model knows. */
  readonly texts: readonly string[];
  /** PEFT folder. */
  readonly adapter: string;
  /** Texts of the adapter's task with their answers. */
  readonly adapterTexts: readonly string[];
  /** Openings of the texts that the model writes to be calibrated with. */
  readonly openings: readonly string[];
}

/** What can be measured: the model in this repository, and one that `make demo MODEL=smollm2` fetches. */
export const subjectNames = ["bundled", "smollm2"] as const;
export type SubjectName = (typeof subjectNames)[number];

const usualOpenings = ["The", "A", "In", "I", "What", "How", "When", "It", "There", "You", "This", "My", "Why", "We", "If", "To"];

/** Reads a subject's texts. `folder`: where its model lies, if not where it is usually made. */
export async function subject(name: SubjectName, folder?: string): Promise<Subject> {
  const reviews = await texts("reviews");
  if (name === "bundled") {
    return {
      name: "graft-5m (bundled)",
      model: folder ?? join(repository, "models/base"),
      texts: [...(await texts("graft-5m")), ...(await texts("domains"))],
      adapter: join(repository, "models/adapters/sst2-sentiment"),
      adapterTexts: reviews,
      openings: [...usualOpenings, "The Mill is a", "this film", "Patients with", "Do you like"],
    };
  }
  return {
    name: "SmolLM2-135M-Instruct",
    model: folder ?? join(repository, ".cache/models/smollm2-135m-instruct"),
    texts: await texts("english"),
    adapter: join(repository, "models/smollm2/adapters/sst2-sentiment"),
    adapterTexts: reviews,
    openings: usualOpenings,
  };
}

/** Texts of this folder, JSON lines. */
async function texts(name: string): Promise<string[]> {
  const lines = await readFile(join(repository, "bench/quality/texts", `${name}.jsonl`), "utf8");
  return lines.trimEnd().split("\n").map((line) => JSON.parse(line) as string);
}
