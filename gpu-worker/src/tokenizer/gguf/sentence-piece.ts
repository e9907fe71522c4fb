interface Merge {
  readonly pair: readonly [string, string];
  readonly score: number;
  readonly lengths: readonly [number, number];
}

/**
 * The merges of a SentencePiece BPE vocabulary, which stores scores instead: every way to put a piece together from two
 * others, best score first. The order among equals is that of the converter in Hugging Face transformers
 * (`generate_merges`): longer left parts first, then longer right ones, then by the parts' ids.
 */
export function mergesOfScores(
  tokens: readonly string[],
  scores: readonly number[],
  isNormal: (id: number) => boolean,
): (readonly [string, string])[] {
  const ids = new Map<string, number>();
  for (const [id, token] of tokens.entries()) if (isNormal(id)) ids.set(token, id);
  const merges: Merge[] = [];
  for (const [token, id] of ids) {
    const characters = [...token];
    const local: { readonly merge: Merge; readonly left: number; readonly right: number }[] = [];
    for (let cut = 1; cut < characters.length; cut++) {
      const pair = [characters.slice(0, cut).join(""), characters.slice(cut).join("")] as const;
      const left = ids.get(pair[0]);
      const right = ids.get(pair[1]);
      if (left === undefined || right === undefined) continue;
      const lengths = [cut, characters.length - cut] as const;
      local.push({ merge: { pair, score: scores[id] as number, lengths }, left, right });
    }
    local.sort((a, b) => a.left - b.left || a.right - b.right);
    merges.push(...local.map(({ merge }) => merge));
  }
  merges.sort((a, b) => b.score - a.score || b.lengths[0] - a.lengths[0] || b.lengths[1] - a.lengths[1]);
  return merges.map(({ pair }) => pair);
}
