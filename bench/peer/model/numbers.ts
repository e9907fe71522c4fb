/** Bits of 2^exponent in IEEE half precision, from 2^-14 to 2^15. */
export function halfPower(exponent: number): number {
  if (exponent < -14 || exponent > 15) throw new RangeError(`2^${exponent} is no normal half`);
  return (exponent + 15) << 10;
}

const float = new Float32Array(1);
const bits = new Uint32Array(float.buffer);

/** Bits of a value as bfloat16. Throws if bfloat16 cannot hold it exactly. */
export function exactBf16(value: number): number {
  float[0] = value;
  if (float[0] !== value || (bits[0]! & 0xffff) !== 0) throw new RangeError(`${value} is no bfloat16`);
  return bits[0]! >>> 16;
}
