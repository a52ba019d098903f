// One clock and one kind of chance for all processes of a run.

/** Milliseconds of the machine's monotonic clock: the same in every process and namespace. */
export const now = () => Number(process.hrtime.bigint()) / 1e6;

/** mulberry32: a small generator; the seed decides the whole schedule. */
export class Chance {
  constructor(seed) {
    this.state = seed >>> 0;
  }

  /** In [0, 1). */
  next() {
    this.state = (this.state + 0x6d2b79f5) >>> 0;
    let t = this.state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  }

  /** An integer in [min, max]. */
  range(min, max) {
    return min + Math.floor(this.next() * (max - min + 1));
  }

  shuffle(list) {
    const out = [...list];
    for (let i = out.length - 1; i > 0; i--) {
      const k = this.range(0, i);
      [out[i], out[k]] = [out[k], out[i]];
    }
    return out;
  }
}

/** p50, p90, p99 and max of @values as whole milliseconds; null without any. */
export function quantiles(values) {
  if (values.length === 0) return { p50: null, p90: null, p99: null, max: null };
  const sorted = [...values].sort((a, b) => a - b);
  const at = (q) => Math.round(sorted[Math.max(0, Math.ceil(q * sorted.length) - 1)]);
  return { p50: at(0.5), p90: at(0.9), p99: at(0.99), max: at(1) };
}
