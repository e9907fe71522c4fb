import { open } from "node:fs/promises";

/** A tensor of a file: its rows one after the other. */
export interface Tensor<Type> {
  readonly name: string;
  readonly type: Type;
  /** Rows first. */
  readonly shape: readonly number[];
  readonly rowBytes: number;
  row(index: number): Buffer;
}

/** Rows in one write. */
const rowsPerWrite = 1024;

/** Writes a file that consists of a header and tensors, each padded to `alignment` bytes. */
export async function writeTensorFile(
  path: string,
  header: Buffer,
  tensors: readonly Tensor<unknown>[],
  alignment: number,
): Promise<void> {
  const file = await open(path, "w");
  try {
    await file.write(header);
    for (const tensor of tensors) {
      const rows = rowCount(tensor);
      for (let first = 0; first < rows; first += rowsPerWrite) {
        const count = Math.min(rowsPerWrite, rows - first);
        await file.writev(Array.from({ length: count }, (_, i) => tensor.row(first + i)));
      }
      await file.write(Buffer.alloc(paddedSize(tensor, alignment) - rows * tensor.rowBytes));
    }
  } finally {
    await file.close();
  }
}

/** Bytes of a tensor in its file. */
export function paddedSize(tensor: Tensor<unknown>, alignment: number): number {
  return Math.ceil((rowCount(tensor) * tensor.rowBytes) / alignment) * alignment;
}

function rowCount({ shape }: Tensor<unknown>): number {
  return shape.length === 1 ? 1 : shape[0]!;
}
