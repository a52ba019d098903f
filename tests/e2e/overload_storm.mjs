// More publishes than the cluster can commit: some get the temporary error, what is acknowledged is
// delivered once and in order, and moderate clients are served.
import assert from 'node:assert/strict';
import { pick, short } from './lib/env.mjs';
import { checkOthers, overload, print } from './lib/overload.mjs';
import { story } from './lib/peers.mjs';

const TEMPORARY = ['100', '111'];
const WATCHED = pick(20, 100, 200);

story('a publish storm is refused in part, and loses nothing', async () => {
  const options = {
    watched: WATCHED,
    rate: pick(20, 100),
    seconds: pick(2, 3),
    rounds: pick(1, 1, 4), // in turns, so that calm and load see the same machine
    factor: pick(300, 1000), // the measured capacity is what a disturbed machine gave in seconds
  };
  const { figures, results } = await overload('storm', options, 1_000_000);
  const last = results.at(-1);
  print(figures, WATCHED);
  console.log(
    `capacity: ${last.capacity_per_s} publishes a second; storm of ${options.factor} %: ` +
      `${last.sent} sent, ${last.acked} acknowledged, errors ${JSON.stringify(last.errors)}, ` +
      `${last.held_back} held back by TCP, unanswered ${last.unanswered}, gaps told ` +
      `${last.declared}, lost ${last.lost}, repeated ${last.repeated}`,
  );
  for (const code of Object.keys(last.errors)) assert.ok(TEMPORARY.includes(code), code);
  assert.equal(last.unanswered, 0);
  assert.equal(last.repeated, 0);
  assert.equal(last.wrong, 0);
  if (last.declared === 0) assert.equal(last.lost, 0);
  if (!short) assert.ok(last.sent > last.acked || last.held_back > 0, 'it was no storm');
  checkOthers({ ...figures, errors: {} }, WATCHED);
  for (const code of Object.keys(figures.errors)) assert.ok(TEMPORARY.includes(code), code);
});
