/**
 * Which row of a Hugging Face projection is a row of a GGUF one. RoPE rotates pairs of a head's outputs: Hugging Face
 * takes them half a head apart, llama.cpp takes neighbours, so its converter interleaves the halves of each head.
 */
export function ggufRow(row: number, rows: number, rotatedHeads: number | undefined): number {
  if (rotatedHeads === undefined) return row;
  const size = rows / rotatedHeads;
  const [head, within] = [Math.floor(row / size), row % size];
  return head * size + (within % 2) * (size / 2) + Math.floor(within / 2);
}
