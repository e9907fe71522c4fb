/**
 * The hash behind placement: 64 bits as two 32-bit lanes, in integer maths that every language can repeat.
 *
 * Each lane is FNV-1a over the UTF-8 bytes with its own offset basis, finished by the avalanche of MurmurHash3 (FNV
 * alone leaves the last bytes poorly mixed). Test vectors stand in hash.test.ts: a router in another language must
 * reproduce them, or it will disagree about who owns which adapter.
 */

/** Two independent 32-bit lanes. */
export interface Hash64 {
  readonly hi: number;
  readonly lo: number;
}

const FNV_PRIME = 0x01000193;
const HI_BASIS = 0x811c9dc5;
const LO_BASIS = 0x050c5d1f;

const encoder = new TextEncoder();

/** Finalizer of MurmurHash3 (Appleby): every input bit changes every output bit with probability one half. */
export function avalanche(value: number): number {
  let h = value;
  h ^= h >>> 16;
  h = Math.imul(h, 0x85ebca6b);
  h ^= h >>> 13;
  h = Math.imul(h, 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

/** Hashes a text by its UTF-8 bytes. */
export function hash64(text: string): Hash64 {
  let hi = HI_BASIS;
  let lo = LO_BASIS;
  let at = 0;
  // ASCII is its own UTF-8, and most keys are nothing else: they need no array of bytes.
  for (; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code > 0x7f) break;
    hi = Math.imul(hi ^ code, FNV_PRIME);
    lo = Math.imul(lo ^ code, FNV_PRIME);
  }
  if (at < text.length) {
    for (const byte of encoder.encode(text.slice(at))) {
      hi = Math.imul(hi ^ byte, FNV_PRIME);
      lo = Math.imul(lo ^ byte, FNV_PRIME);
    }
  }
  return { hi: avalanche(hi), lo: avalanche(lo) };
}

/**
 * Combines two hashes into a number in (0, 1) with 52 random bits. With one bit more, adding the half would round, and 1
 * could occur.
 */
export function unitInterval(a: Hash64, hi: number, lo: number): number {
  const high = avalanche(a.hi ^ hi);
  const low = avalanche((a.lo ^ lo) + high);
  return (high * 0x100000 + (low >>> 12) + 0.5) / 2 ** 52;
}

/** At most the distance of `unitInterval` from 1, by half of its work: the high lane alone. */
export function gapBelowOne(a: Hash64, hi: number): number {
  return (0xffffffff - avalanche(a.hi ^ hi)) / 2 ** 32;
}
