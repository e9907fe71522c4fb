// A byte order mark is text here, and malformed bytes become U+FFFD as the WHATWG decoder replaces them.
const lossy = new TextDecoder("utf-8", { ignoreBOM: true });
const strict = new TextDecoder("utf-8", { ignoreBOM: true, fatal: true });

/** Decodes UTF-8; malformed bytes become U+FFFD. */
export function decodeUtf8(bytes: Uint8Array): string {
  return lossy.decode(bytes);
}

/** Decodes UTF-8, or returns undefined where it is malformed or cut off. */
export function decodeValidUtf8(bytes: Uint8Array): string | undefined {
  try {
    return strict.decode(bytes);
  } catch {
    return undefined;
  }
}

/** How many bytes at the end (0 to 3) begin a character that bytes to come can still complete. */
export function unfinishedBytes(bytes: Uint8Array): number {
  const end = bytes.length;
  for (let length = 1; length <= 3 && length <= end; length++) {
    const byte = bytes[end - length] as number;
    if ((byte & 0xc0) === 0x80) continue; // a continuation byte: its leading byte is further ahead
    if (byte < 0xc2 || byte > 0xf4) return 0;
    const needed = byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4;
    if (length >= needed) return 0;
    return length === 1 || isSecondByte(byte, bytes[end - length + 1] as number) ? length : 0;
  }
  return 0;
}

/** Whether `second` may follow `lead`: no overlong forms, no surrogates, nothing above U+10FFFF (Unicode table 3-7). */
function isSecondByte(lead: number, second: number): boolean {
  if (lead === 0xe0) return second >= 0xa0;
  if (lead === 0xed) return second <= 0x9f;
  if (lead === 0xf0) return second >= 0x90;
  if (lead === 0xf4) return second <= 0x8f;
  return true;
}
