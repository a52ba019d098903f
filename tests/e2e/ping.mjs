// client.ping_interval: a client learns of a peer that was stopped, whose connections never break,
// by the ping that does not come.
import assert from 'node:assert/strict';
import { Record, disconnectAll, sdkClient } from './lib/client.mjs';
import { patience } from './lib/env.mjs';
import { call } from './lib/http.mjs';
import { startCluster, story } from './lib/peers.mjs';
import { connected } from './lib/raw.mjs';
import { until } from './lib/wait.mjs';

const PING_MS = 3000;
const DELAY_MS = 1000; // the SDK's maxServerPingDelay
const SLACK_MS = 750;

story('clients leave a stopped peer within the ping interval', async () => {
  const config =
    `client: {insecure: true, ping_interval: ${PING_MS / 1000}s, pong_timeout: 1s}\n` +
    'namespaces:\n  - {name: "", history_size: 100, history_ttl: 600s, force_recovery: true}\n';
  const cluster = await startCluster({ config });
  const pair = cluster.peers.slice(0, 2);

  const mute = await connected(pair[0]);
  assert.equal(mute.result.ping, PING_MS / 1000);
  assert.equal(mute.result.pong, true);
  mute.autoPong = false;
  const end = await mute.end();
  assert.equal(end.code, 3012, `closed with ${end.code} ${end.reason}`);
  assert.equal(mute.pings, 1);

  const client = sdkClient(pair, { maxServerPingDelay: DELAY_MS });
  const record = new Record(client, 'news', { recoverable: true });
  client.connect();
  await until('it is subscribed', 10_000, () => record.subscribed);
  // A busy machine may have made it pass over the first.
  const frozen = pair.find((peer) => peer.ws === client.sockets.server);
  const [other] = pair.filter((peer) => peer !== frozen);
  await call(other, 'publish', { channel: 'news', data: 1 });
  await until('the first message came', 10_000, () => record.got.length === 1);

  let left;
  client.on('connecting', ({ reason }) => (left ??= { at: performance.now(), reason }));
  const at = performance.now();
  await frozen.pause();
  await until('a message is taken by the others', 20_000, () =>
    call(other, 'publish', { channel: 'news', data: 2, idempotency_key: 'k2' }),
  );
  await until('it came by way of another peer', 30_000, () => record.got.length === 2);
  const leftMs = left.at - at;
  const movedMs = performance.now() - at;
  console.log(
    `left after ${leftMs.toFixed(0)} ms (ping ${PING_MS}, delay ${DELAY_MS}): ${left.reason}; ` +
      `heard more after ${movedMs.toFixed(0)} ms`,
  );
  assert.ok(leftMs <= patience(PING_MS + DELAY_MS + SLACK_MS), `left after ${leftMs.toFixed(0)} ms`);
  assert.equal(record.starts.at(-1).recovered, true);
  assert.deepEqual(record.faults, []);
  frozen.resume();
  await frozen.ready(30_000);
  disconnectAll();
});
