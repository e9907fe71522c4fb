import type { QuantizeOptions } from "@polygraft/worker";

/** How the linear layers are quantized. */
export interface WeightScheme {
  readonly name: string;
  readonly options: Pick<QuantizeOptions, "scheme" | "groupSize" | "grid">;
  readonly calibrated: boolean;
}

/** A model as it is measured: weights, head and activations. */
export interface Variant {
  readonly weights: WeightScheme;
  readonly headBits: 4 | 8;
  readonly activations: "int8" | "f32";
}

const affine = ([32, 64, 128] as const).flatMap((groupSize): WeightScheme[] => [
  { name: `w4-g${groupSize} plain`, options: { groupSize, grid: "plain" }, calibrated: false },
  { name: `w4-g${groupSize} searched`, options: { groupSize, grid: "searched" }, calibrated: false },
  { name: `w4-g${groupSize} calibrated`, options: { groupSize, grid: "searched" }, calibrated: true },
]);

/** All schemes that are compared, in the order of the table. */
export const schemes: readonly WeightScheme[] = [
  ...affine,
  { name: "nf4-g64", options: { scheme: "nf4", groupSize: 64 }, calibrated: false },
  { name: "w8-g32", options: { scheme: "w8", groupSize: 32 }, calibrated: false },
  { name: "q4_0 (symmetric g32)", options: { groupSize: 32, grid: "symmetric" }, calibrated: false },
];

/** Every combination with a head and with activations. */
export function variants(chosen: readonly WeightScheme[]): Variant[] {
  const combinations: Variant[] = [];
  for (const weights of chosen) {
    for (const headBits of [8, 4] as const) {
      for (const activations of ["int8", "f32"] as const) combinations.push({ weights, headBits, activations });
    }
  }
  return combinations;
}
