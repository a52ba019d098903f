// Waiting for conditions with a deadline. No test sleeps for a guessed time.
import { setTimeout as sleep } from 'node:timers/promises';
import { patience } from './env.mjs';

/** Polls @fn until it returns something truthy, which is returned; throws after @ms. */
export async function until(what, ms, fn, { every = 20 } = {}) {
  const end = performance.now() + patience(ms);
  let last;
  for (;;) {
    try {
      last = await fn();
      if (last) return last;
    } catch (error) {
      last = error;
    }
    if (performance.now() >= end) {
      const seen = last instanceof Error ? last.message : JSON.stringify(last);
      throw new Error(`not within ${patience(ms)} ms: ${what} (last seen: ${seen})`);
    }
    await sleep(every);
  }
}

/** @promise, or an error after @ms. */
export async function within(what, ms, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(
      () => reject(new Error(`not within ${patience(ms)} ms: ${what}`)),
      patience(ms),
    );
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** p50, p99 and max of @values, rounded to @digits. */
export function spread(values, digits = 0) {
  if (values.length === 0) return 'none';
  const sorted = [...values].sort((a, b) => a - b);
  const at = (q) => sorted[Math.min(sorted.length - 1, Math.ceil(q * sorted.length) - 1)];
  return (
    `p50=${at(0.5).toFixed(digits)} p99=${at(0.99).toFixed(digits)} ` +
    `max=${sorted.at(-1).toFixed(digits)} n=${sorted.length}`
  );
}

/** The value at quantile @q. */
export function quantile(values, q) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(q * sorted.length) - 1)];
}

export { sleep };
