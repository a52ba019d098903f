// Clients that stop reading, among others on the same channel: the others do not notice; the stopped
// ones get everything in order when they read again, or are told what is gone.
import assert from 'node:assert/strict';
import { full, pick } from './lib/env.mjs';
import { checkOthers, overload, print } from './lib/overload.mjs';
import { story } from './lib/peers.mjs';

const STOPPED = pick(20, 100);
const WATCHED = pick(20, 200, 400);
const OPTIONS = {
  load: STOPPED,
  watched: WATCHED,
  rate: pick(20, 50, 40),
  size: 4000,
  seconds: pick(2, 4, 10),
  rounds: pick(1, 2, 3),
};

async function check(history) {
  const { figures, results } = await overload('slow', OPTIONS, history);
  const sum = (key) => results.reduce((n, result) => n + result[key], 0);
  print(figures, STOPPED + WATCHED);
  const resumed = figures.load.filter(({ command }) => command === 'resume');
  console.log(
    `history of ${history}: ${STOPPED} stopped readers, all caught up in ms: ` +
      `${resumed.map(({ result }) => result.ms).join(' ')}; gaps told: ${sum('declared')}, ` +
      `wrong: ${sum('wrong')}`,
  );
  assert.equal(sum('wrong'), 0);
  for (const { result } of resumed) assert.equal(result.live, STOPPED);
  checkOthers(figures, STOPPED + WATCHED);
  return sum('declared');
}

story('stopped readers get all later, and the others do not notice', async () => {
  assert.equal(await check(100_000), 0);
});

if (full)
  story('stopped readers that the log has left behind are told', async () => {
    await check(20);
  });
