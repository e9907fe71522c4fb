/** What a chunk of output text turned into. */
export interface MatchedText {
  /** Text that can no longer become part of a stop text. */
  readonly text: string;
  /** The stop text that was found. Nothing after it is looked at. */
  readonly stop?: string;
}

interface Node {
  readonly next: Map<number, Node>;
  /** Where to go on when no child fits: the longest proper suffix that begins some stop text. */
  fail: Node | undefined;
  /** UTF-16 units from the root. */
  readonly depth: number;
  /** The longest stop text that ends here. */
  stop: string | undefined;
}

const node = (depth: number): Node => ({ next: new Map(), fail: undefined, depth, stop: undefined });

/** Aho and Corasick, "Efficient string matching" (1975): all stop texts at once, each unit of text looked at once. */
function compile(stops: readonly string[]): Node {
  const root = node(0);
  for (const stop of stops) {
    let at = root;
    for (let i = 0; i < stop.length; i++) {
      const unit = stop.charCodeAt(i);
      let next = at.next.get(unit);
      if (!next) at.next.set(unit, (next = node(i + 1)));
      at = next;
    }
    at.stop = stop;
  }
  const queue = [root];
  for (const at of queue) {
    for (const [unit, child] of at.next) {
      let fail = at.fail;
      while (fail && !fail.next.has(unit)) fail = fail.fail;
      child.fail = fail ? fail.next.get(unit) : root;
      child.stop ??= child.fail?.stop;
      queue.push(child);
    }
  }
  return root;
}

/**
 * Finds the first of several stop texts in a stream of text, and holds back what may still become one. The first is
 * the one that ends first, and the longest of those that end there: so the result does not depend on how the text was
 * cut into tokens.
 */
export class StopMatcher {
  private readonly root: Node;
  private at: Node;
  private held = "";

  constructor(stops: readonly string[]) {
    this.root = compile(stops.filter((stop) => stop.length > 0));
    this.at = this.root;
  }

  /** Takes the next text. `honour` false lets complete stop texts pass, as before `min_tokens`. */
  push(text: string, honour = true): MatchedText {
    const all = this.held + text;
    for (let i = 0; i < text.length; i++) {
      this.advance(text.charCodeAt(i));
      const stop = this.at.stop;
      if (stop !== undefined && honour) {
        const end = this.held.length + i + 1;
        this.held = "";
        this.at = this.root;
        return { text: all.slice(0, end - stop.length), stop };
      }
    }
    const certain = all.length - this.possible();
    this.held = all.slice(certain);
    return { text: all.slice(0, certain) };
  }

  /** The text held back, when no more follows. */
  end(): string {
    const text = this.held;
    this.held = "";
    this.at = this.root;
    return text;
  }

  private advance(unit: number): void {
    let at: Node | undefined = this.at;
    let next = at.next.get(unit);
    while (!next && at.fail) {
      at = at.fail;
      next = at.next.get(unit);
    }
    this.at = next ?? this.root;
  }

  /** Length of the longest end of the text that more text can still turn into a stop text. */
  private possible(): number {
    let at: Node | undefined = this.at;
    while (at && at.next.size === 0) at = at.fail;
    return at?.depth ?? 0;
  }
}
