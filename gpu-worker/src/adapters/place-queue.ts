/** How often, by default, others may go ahead of the first in line. */
const PATIENCE = 4;

/**
 * Who gets the next place on the device. Claims come in the order of their arrival, but one that is urgent goes ahead,
 * which is the case as long as somebody waits for a first token: such a request needs its place for a step or two.
 *
 * Nobody starves: the first in line is overtaken at most `patience` times and is next then. So a claim with p others
 * before it has its place after at most (p + 1) · (patience + 1) places were given, its own included.
 */
export class PlaceQueue<Claim extends object> {
  private readonly line = new Map<Claim, { overtaken: number }>();
  private readonly isUrgent: (claim: Claim) => boolean;
  private readonly patience: number;

  constructor(isUrgent: (claim: Claim) => boolean, patience = PATIENCE) {
    this.isUrgent = isUrgent;
    this.patience = patience;
  }

  /** All claims, in the order of their arrival. */
  get claims(): Iterable<Claim> {
    return this.line.keys();
  }

  enter(claim: Claim): void {
    this.line.set(claim, { overtaken: 0 });
  }

  /** Who is next. Stays in line until it is served or leaves. */
  next(): Claim | undefined {
    const [first] = this.line.keys();
    if (first === undefined || this.cannotWait(first)) return first;
    for (const claim of this.line.keys()) if (this.isUrgent(claim)) return claim;
    return first;
  }

  /** Whether a claim is urgent, or was overtaken so often that nobody goes ahead of it any more. */
  cannotWait(claim: Claim): boolean {
    return this.isUrgent(claim) || (this.line.get(claim)?.overtaken ?? 0) >= this.patience;
  }

  /** It has its place. */
  served(claim: Claim): void {
    const [first] = this.line.entries();
    if (first && first[0] !== claim) first[1].overtaken++;
    this.leave(claim);
  }

  /** It wants no place any more. */
  leave(claim: Claim): void {
    this.line.delete(claim);
  }
}
