import { markdownTable } from "../markdown-table.js";
import type { Served } from "./load.js";

/** A load with so many adapters in use. */
export interface Row {
  readonly load: string;
  /** Adapters in use, as a multiple of those that fit on the device. */
  readonly multiple: number;
  readonly requests: number;
  /** Share of the requests whose adapter was on the device when they came. */
  readonly hits: number;
  /** Milliseconds from the call to the first token. */
  readonly firstP50: number;
  readonly firstP99: number;
  /** Of those, milliseconds until the adapter was there: the median of those that had to wait. */
  readonly adapterP50: number;
  /** Milliseconds between one token and the next. */
  readonly gapP50: number;
  readonly gapP99: number;
}

/** Sums a load up. */
export function summary(load: string, multiple: number, served: readonly Served[]): Row {
  const of = (values: readonly number[], part: number): number => {
    const sorted = [...values].sort((a, b) => a - b);
    return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? Number.NaN;
  };
  const first = served.map(({ firstMillis }) => firstMillis);
  const gaps = served.flatMap((each) => each.gaps);
  return {
    load,
    multiple,
    requests: served.length,
    hits: served.filter(({ hit }) => hit).length / served.length,
    firstP50: of(first, 0.5),
    firstP99: of(first, 0.99),
    adapterP50: of(served.flatMap(({ hit, adapterMillis }) => (hit ? [] : [adapterMillis])), 0.5),
    gapP50: of(gaps, 0.5),
    gapP99: of(gaps, 0.99),
  };
}

/** The rows with the ratio of each median to the one where all fit. */
export function table(rows: readonly Row[]): string {
  const header = ["load", "adapters in use / that fit", "requests", "on the device already", "first token p50", "ratio", "p99", "load p50", "gap p50", "gap p99"];
  const millis = (value: number): string => (Number.isNaN(value) ? "" : `${value.toPrecision(value < 10 ? 2 : 3)} ms`);
  const cells = rows.map((row) => [
    row.load,
    `${row.multiple}×`,
    String(row.requests),
    `${(row.hits * 100).toFixed(0)} %`,
    millis(row.firstP50),
    `${ratioOf(row, rows).toFixed(2)}×`,
    millis(row.firstP99),
    millis(row.adapterP50),
    millis(row.gapP50),
    millis(row.gapP99),
  ]);
  return markdownTable(header, cells, [1, 2, 3, 4, 5, 6, 7, 8, 9]);
}

/** A row's median time to the first token over that of its load where all adapters fit. */
export function ratioOf(row: Row, rows: readonly Row[]): number {
  return row.firstP50 / (rows.find(({ load, multiple }) => load === row.load && multiple === 1)?.firstP50 ?? Number.NaN);
}
