import { FinishReason, GenerateRequest, GenerateResponse } from "@polygraft/api";

/** Characters of a message's text: six of its time and two of its number, seven bits each, so that all are ASCII. */
const timeChars = 6;
const text = "\u007f".repeat(timeChars + 2);

function framed(message: Uint8Array): Buffer {
  const bytes = Buffer.alloc(5 + message.length);
  bytes.writeUInt32BE(message.length, 1);
  bytes.set(message, 5);
  return bytes;
}

/** One token as a worker sends it, with its gRPC prefix. */
export const tokenMessage = framed(
  GenerateResponse.encode({ event: { $case: "delta", value: { text, tokenIds: [1000], logprobs: [] } } }).finish(),
);

const textAt = tokenMessage.indexOf(text);

/** Most tokens of a response: their numbers have two characters. */
export const maxTokens = 2 ** 14;

/** A request for an adapter, with its gRPC prefix. */
export function requestFor(adapter: string): Buffer {
  const prompt = { $case: "text", value: "How do I reset my password?" } as const;
  return framed(GenerateRequest.encode(GenerateRequest.fromPartial({ adapter: { id: adapter }, prompt })).finish());
}

/** The request that every relay passes on. */
export const requestMessage = requestFor("support");

/** Writes a token's number and the time, in whole microseconds, into a copy of `tokenMessage` at `at`. */
export function stamp(bytes: Buffer, at: number, number: number, micros: number): void {
  let place = at + textAt;
  for (let high = micros, index = 0; index < timeChars; index++) {
    const next = Math.floor(high / 128);
    bytes[place++] = high - next * 128;
    high = next;
  }
  bytes[place++] = number & 127;
  bytes[place] = number >>> 7;
}

/** The time of a stamped message, in microseconds. */
export function stampedMicros(bytes: Buffer, at: number): number {
  let micros = 0;
  for (let index = timeChars - 1; index >= 0; index--) micros = micros * 128 + bytes[at + textAt + index]!;
  return micros;
}

/** The number of a stamped message. */
export function stampedNumber(bytes: Buffer, at: number): number {
  return bytes[at + textAt + timeChars]! | (bytes[at + textAt + timeChars + 1]! << 7);
}

/** The time of a stamped message's text, in microseconds. */
export function stampedTextMicros(stamped: string): number {
  let micros = 0;
  for (let index = timeChars - 1; index >= 0; index--) micros = micros * 128 + stamped.charCodeAt(index);
  return micros;
}

/** The number of a stamped message's text. */
export function stampedTextNumber(stamped: string): number {
  return stamped.charCodeAt(timeChars) | (stamped.charCodeAt(timeChars + 1) << 7);
}

/** First and last message of a response, with their gRPC prefixes. Only those who look into messages need them. */
export const acceptedMessage = framed(
  GenerateResponse.encode(GenerateResponse.fromPartial({ event: { $case: "accepted", value: { worker: "worker-1" } } })).finish(),
);
export const finishedMessage = framed(
  GenerateResponse.encode(GenerateResponse.fromPartial({ event: { $case: "finished", value: { reason: FinishReason.MAX_TOKENS } } })).finish(),
);

/** Now, in whole microseconds on the clock that stamps are of. */
export function nowMicros(): number {
  return Math.round(performance.now() * 1000);
}
