// Thousands of clients come back at once, each 100 messages behind: all recover, each gets exactly
// what it missed, and those who stayed connected are served meanwhile.
import assert from 'node:assert/strict';
import { pick } from './lib/env.mjs';
import { checkOthers, overload, print } from './lib/overload.mjs';
import { story } from './lib/peers.mjs';

const COMERS = pick(200, 2000, 5000);
const WATCHED = pick(20, 100, 200);
const BEHIND = 100;

story(`${COMERS} clients come back at once, each ${BEHIND} messages behind`, async () => {
  const options = {
    load: COMERS,
    watched: WATCHED,
    behind: BEHIND,
    rate: pick(20, 100, 300),
    channels: pick(4, 20, 50),
    seconds: pick(2, 3, 5),
    rounds: pick(1, 3, 8),
  };
  const { figures } = await overload('reconnect', options, 1000);
  const storms = figures.load.filter(({ command }) => command === 'open').slice(1);
  print(figures, COMERS + WATCHED);
  console.log(`all ${COMERS} back, in ms: ${storms.map(({ result }) => result.ms).join(' ')}`);
  assert.equal(storms.length, figures.rounds.length);
  for (const { result } of storms) {
    assert.equal(result.recovered, COMERS);
    assert.equal(result.messages, COMERS * BEHIND);
    assert.equal(result.wrong + result.declared + result.unsubscribed, 0);
    assert.deepEqual(result.closes, {});
  }
  checkOthers(figures, COMERS + WATCHED);
});
