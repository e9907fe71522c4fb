/**
 * The next part of a text, of at most `maxLength` UTF-16 units, and at least one character. It ends before white space
 * where it can, because most tokenizers join a space with the word that follows it.
 */
export function cutWindow(text: string, start: number, maxLength: number): string {
  const limit = start + Math.max(1, maxLength);
  if (limit >= text.length) return text.slice(start);
  for (let end = limit; end > start; end--) {
    if (/\s/.test(text.charAt(end)) && !/\s/.test(text.charAt(end - 1))) return text.slice(start, end);
  }
  // One endless word: cut it, but not through a character.
  const inside = /[\uDC00-\uDFFF]/.test(text.charAt(limit)) && /[\uD800-\uDBFF]/.test(text.charAt(limit - 1));
  if (!inside) return text.slice(start, limit);
  return text.slice(start, limit - 1 > start ? limit - 1 : limit + 1);
}
