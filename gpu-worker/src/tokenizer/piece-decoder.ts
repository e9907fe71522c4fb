import type { PieceDecoder, TokenPiece } from "./token-pieces.js";
import { decodeValidUtf8 } from "./utf8.js";

/** The `decoder` object of a tokenizer.json. */
export type DecoderConfig = { readonly type: string; readonly [key: string]: unknown };

const encoder = new TextEncoder();

/** Bytes as text where they are whole characters, so that the hot path joins strings. */
const asPiece = (bytes: Uint8Array): TokenPiece => decodeValidUtf8(bytes) ?? bytes;

/** GPT-2's spelling of bytes: printable Latin-1 stands for itself, the rest for U+0100 and up, in order. */
function byteLevelAlphabet(): Map<string, number> {
  const printable = (byte: number): boolean =>
    (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
  const alphabet = new Map<string, number>();
  let next = 0x100;
  for (let byte = 0; byte < 256; byte++) {
    alphabet.set(String.fromCharCode(printable(byte) ? byte : next++), byte);
  }
  return alphabet;
}

function byteLevel(): PieceDecoder {
  const alphabet = byteLevelAlphabet();
  const decode = (token: string): TokenPiece => {
    const bytes = new Uint8Array(token.length);
    for (let i = 0; i < token.length; i++) {
      const byte = alphabet.get(token[i] as string);
      // A token with any other character was added as plain text.
      if (byte === undefined) return asPiece(encoder.encode(token));
      bytes[i] = byte;
    }
    return asPiece(bytes);
  };
  return { decode, leadingSpaces: 0 };
}

/** One part of a decoder sequence: works on the text of a token, ends it as bytes, or strips the whole output. */
interface Step {
  readonly text?: (token: string) => string;
  readonly bytes?: (token: string) => Uint8Array | undefined;
  readonly leadingSpaces?: number;
}

function byteFallback(token: string): Uint8Array | undefined {
  const match = /^<0x([0-9A-Fa-f]{2})>$/.exec(token);
  return match ? Uint8Array.of(Number.parseInt(match[1] as string, 16)) : undefined;
}

function replaceStep(config: DecoderConfig): Step {
  const pattern = (config["pattern"] as { String?: unknown } | undefined)?.String;
  const content = config["content"];
  if (typeof pattern !== "string" || typeof content !== "string") {
    throw new Error("tokenizer.json: the decoder Replace is supported with a String pattern only");
  }
  return { text: (token) => token.replaceAll(pattern, content) };
}

function metaspaceStep(config: DecoderConfig): Step {
  const replacement = typeof config["replacement"] === "string" ? config["replacement"] : "▁";
  const scheme = config["prepend_scheme"] ?? (config["add_prefix_space"] === false ? "never" : "always");
  return { text: (token) => token.replaceAll(replacement, " "), leadingSpaces: scheme === "never" ? 0 : 1 };
}

function stripStep(config: DecoderConfig, fused: boolean): Step {
  if (config["content"] !== " " || config["stop"] !== 0 || !fused) {
    throw new Error("tokenizer.json: the decoder Strip is supported for leading spaces after Fuse only");
  }
  return { leadingSpaces: Number(config["start"]) };
}

function step(config: DecoderConfig, fused: boolean): Step {
  switch (config.type) {
    case "Replace":
      return replaceStep(config);
    case "Metaspace":
      return metaspaceStep(config);
    case "ByteFallback":
      return { bytes: byteFallback };
    case "Fuse":
      return {};
    case "Strip":
      return stripStep(config, fused);
    default:
      throw new Error(`tokenizer.json: the decoder ${config.type} is not supported`);
  }
}

function sequence(configs: readonly DecoderConfig[]): PieceDecoder {
  const fuse = configs.findIndex(({ type }) => type === "Fuse");
  const steps = configs.map((config, index) => step(config, fuse >= 0 && index > fuse));
  const decode = (token: string): TokenPiece => {
    let text = token;
    for (const { text: change, bytes } of steps) {
      const raw = bytes?.(text);
      if (raw) return asPiece(raw);
      if (change) text = change(text);
    }
    return text;
  };
  return { decode, leadingSpaces: Math.max(0, ...steps.map(({ leadingSpaces }) => leadingSpaces ?? 0)) };
}

/**
 * Compiles the decoder of a tokenizer.json into a function of single tokens, so that each output token costs one table
 * look-up. Supports what Llama-like models use: byte-level BPE, and SentencePiece BPE with byte fallback. Throws on
 * decoders that cannot work token by token.
 */
export function compileDecoder(config: DecoderConfig | null | undefined): PieceDecoder {
  if (!config) throw new Error("tokenizer.json: a decoder is missing");
  if (config.type === "ByteLevel") return byteLevel();
  if (config.type !== "Sequence") return sequence([config]);
  const configs = config["decoders"] as readonly DecoderConfig[];
  const [only] = configs;
  return configs.length === 1 && only ? compileDecoder(only) : sequence(configs);
}
