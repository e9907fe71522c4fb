const unitMillis = { H: 3_600_000, M: 60_000, S: 1000, m: 1, u: 1e-3, n: 1e-6 } as const;
const pattern = /^([0-9]{1,8})([HMSmun])$/;

/** Milliseconds of a `grpc-timeout` header; undefined if it is malformed. */
export function parseGrpcTimeout(value: string): number | undefined {
  const match = pattern.exec(value);
  if (match === null) return undefined;
  return Number(match[1]) * unitMillis[match[2] as keyof typeof unitMillis];
}

/** A `grpc-timeout` header: the finest unit that eight digits can express, rounded down. */
export function formatGrpcTimeout(millis: number): string {
  const left = Math.max(0, millis);
  if (left * 1000 < 1e8) return `${Math.floor(left * 1000)}u`;
  if (left < 1e8) return `${Math.floor(left)}m`;
  if (left / 1000 < 1e8) return `${Math.floor(left / 1000)}S`;
  return `${Math.min(99_999_999, Math.floor(left / unitMillis.H))}H`;
}
