import { open } from "node:fs/promises";

/** A tensor to write, in bf16. */
export interface RandomTensor {
  readonly name: string;
  readonly shape: readonly number[];
  /** Standard deviation of its values. */
  readonly deviation: number;
}

/** Bytes of random values made once and repeated: speed does not depend on the values. */
const blockValues = 1 << 20;

/** Writes tensors of random bf16 values as a safetensors file. The same tensors give the same file. */
export async function writeRandomSafetensors(path: string, tensors: readonly RandomTensor[]): Promise<void> {
  let offset = 0;
  const header: Record<string, object> = {};
  for (const { name, shape } of tensors) {
    const bytes = elements(shape) * 2;
    header[name] = { dtype: "BF16", shape, data_offsets: [offset, offset + bytes] };
    offset += bytes;
  }
  const json = Buffer.from(JSON.stringify(header));
  const padded = Buffer.alloc(Math.ceil(json.length / 8) * 8, " ");
  json.copy(padded);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(padded.length));
  const file = await open(path, "w");
  try {
    await file.write(length);
    await file.write(padded);
    const blocks = new Map<number, Buffer>();
    for (const { shape, deviation } of tensors) {
      const block = blocks.get(deviation) ?? randomBlock(deviation);
      blocks.set(deviation, block);
      for (let left = elements(shape) * 2; left > 0; left -= block.length) {
        await file.write(block, 0, Math.min(left, block.length));
      }
    }
  } finally {
    await file.close();
  }
}

function elements(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

/** Values with a bell-shaped distribution: sums of four uniform draws. */
function randomBlock(deviation: number): Buffer {
  const floats = new Float32Array(1);
  const bits = new Uint32Array(floats.buffer);
  const block = Buffer.alloc(blockValues * 2);
  let state = 0x2545f491;
  const uniform = (): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32 - 0.5;
  };
  for (let index = 0; index < blockValues; index++) {
    // A uniform draw has a variance of 1/12, so four of them have one of 1/3.
    floats[0] = (uniform() + uniform() + uniform() + uniform()) * Math.sqrt(3) * deviation;
    block.writeUInt16LE((bits[0] ?? 0) >>> 16, index * 2);
  }
  return block;
}
