// 15,000 connections, then messages to all of them; and a peer that has all the connections it may
// have.
import assert from 'node:assert/strict';
import { dunlind, pick } from './lib/env.mjs';
import { request } from './lib/http.mjs';
import { checkOthers, config, overload, print } from './lib/overload.mjs';
import { Cluster, run, story } from './lib/peers.mjs';
import { connected } from './lib/raw.mjs';

const CROWD = pick(600, 5000, 15_000);
const WATCHED = 50;

story(`${CROWD} connections, and a message to all`, async () => {
  const options = {
    load: CROWD,
    watched: WATCHED,
    rate: pick(20, 100, 300),
    seconds: pick(2, 3, 10),
    rounds: pick(2, 2, 3),
  };
  const { figures } = await overload('crowd', options, 1000);
  const of = (name) =>
    figures.load.filter(({ command }) => command === name).map(({ result }) => result);
  const published = of('publish');
  const grown = figures.load[0].rss_mib - figures.rss_mib.before;
  print(figures, CROWD + WATCHED);
  console.log(
    `${CROWD} connected in ms: ${of('open').map((result) => result.ms).join(' ')}; ` +
      `${((grown * 3 * 2 ** 20) / CROWD).toFixed(0)} bytes each; ` +
      `a message reached all in ms: ${published.map((result) => result.ms).join(' ')}`,
  );
  assert.equal(published.length, figures.rounds.length);
  for (const result of published) {
    assert.equal(result.live, CROWD);
    assert.equal(result.wrong, 0);
    assert.equal(result.messages, CROWD); // since they connected
  }
  checkOthers(figures, CROWD + WATCHED);
});

story('more connections than there may be are refused, and harm nobody', async () => {
  const cluster = await new Cluster({ peers: 1, config: config(1000) }).plan();
  const [peer] = cluster.peers;
  const it = run('/bin/sh', ['-c', 'ulimit -n 600 && exec "$@"', 'sh', dunlind, ...peer.args()]);
  peer.process = it;
  peer.log = it.lines;
  await peer.ready(20_000);
  const inside = [];
  const refused = [];
  for (let i = 0; i < 500; i++) {
    try {
      inside.push(await connected(peer));
    } catch (error) {
      refused.push(error.message);
    }
  }
  console.log(`open files: 600; connections: ${inside.length}, refused: ${refused.length}`);
  assert.ok(inside.length >= 100 && refused.length >= 20, `${inside.length}, ${refused.length}`);
  for (const message of refused) assert.match(message, /HTTP 503|hang up|ECONNRESET/);
  assert.ok(refused.some((message) => /HTTP 503/.test(message)));
  assert.equal((await request(`${peer.url}/readyz`, { agent: false })).status, 200);
  const refusal = await request(`${peer.url}/connection/websocket`, { agent: false });
  assert.equal(refusal.status, 503);
  assert.match(refusal.text, /all the connections/);
  for (const raw of [inside[0], inside.at(-1)])
    assert.deepEqual((await raw.ask({ publish: { channel: 'a', data: 1 } })).publish, {});
  await peer.logged(/connection_refused why=too many connections/);
  for (const raw of inside) raw.close();
  peer.expectExit = true;
  assert.equal(await peer.terminate(), 0);
});
