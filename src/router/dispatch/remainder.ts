import { OnMiss } from "@polygraft/api";
import { BinaryReader, BinaryWriter } from "@bufbuild/protobuf/wire";
import type { Delivered } from "./delivered-output.js";

/** Field numbers of `GenerateRequest`. */
const field = { adapter: 3, sampling: 7, onMiss: 14, resume: 15 } as const;
/** Of `AdapterRef`, `SamplingOptions` and `ResumePoint`. */
const adapterDigest = 3;
const samplingSeed = 8;
const resume = { tokenIds: 1, textBytes: 2 } as const;

const lengthDelimited = 2;
const varint = 0;

/**
 * The request that asks for what comes after the output delivered so far: the same one, of the same adapter content and
 * seed, with a `ResumePoint`. Fields that the router does not know stay as they are.
 */
export function remainderOf(message: Uint8Array, { accepted, tokenIds, textBytes }: Delivered): Buffer {
  const kept: Uint8Array[] = [];
  const changed = new Map<number, Uint8Array>();
  const reader = new BinaryReader(message);
  while (reader.pos < reader.len) {
    const start = reader.pos;
    const [number, wireType] = reader.tag();
    if (wireType === lengthDelimited && (number === field.adapter || number === field.sampling || number === field.resume)) {
      changed.set(number, reader.bytes());
      continue;
    }
    reader.skip(wireType, number);
    kept.push(message.subarray(start, reader.pos));
  }
  const earlier = changed.get(field.resume);
  const writer = new BinaryWriter();
  const append = (number: number, more: (writer: BinaryWriter) => void) => {
    writer.tag(number, lengthDelimited).fork().raw(changed.get(number) ?? new Uint8Array());
    more(writer);
    writer.join();
  };
  // Neither other content that the name may mean by now, nor the base in its place, would make the same stream. Without
  // an adapter in `accepted`, the base has answered.
  const { adapter } = accepted;
  if (adapter !== undefined) append(field.adapter, (it) => it.tag(adapterDigest, lengthDelimited).string(adapter.digest));
  writer.tag(field.onMiss, varint).int32(OnMiss.WAIT);
  append(field.sampling, (it) => it.tag(samplingSeed, varint).uint64(accepted.seed));
  append(field.resume, (it) => {
    it.tag(resume.tokenIds, lengthDelimited).fork();
    for (const token of tokenIds) it.uint32(token);
    it.join();
    // The last one counts, and the stream before this one may have been resumed itself.
    it.tag(resume.textBytes, varint).uint32(textBytes + (earlier === undefined ? 0 : textBytesOf(earlier)));
  });
  return Buffer.concat([...kept, writer.finish()]);
}

function textBytesOf(resumePoint: Uint8Array): number {
  const reader = new BinaryReader(resumePoint);
  let bytes = 0;
  while (reader.pos < reader.len) {
    const [number, wireType] = reader.tag();
    if (number === resume.textBytes && wireType === varint) bytes = reader.uint32();
    else reader.skip(wireType, number);
  }
  return bytes;
}
