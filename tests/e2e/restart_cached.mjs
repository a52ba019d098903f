// A peer with a full cache dies and comes back under load: it copies everything from the others,
// is ready within 5 s, and then serves all of it.
import assert from 'node:assert/strict';
import { checkComplete } from './lib/check.mjs';
import { full, patience, pick, short } from './lib/env.mjs';
import { api, call, caughtUp } from './lib/http.mjs';
import { startCluster, story } from './lib/peers.mjs';
import { Publisher } from './lib/publisher.mjs';
import { until } from './lib/wait.mjs';
import http from 'node:http';

const CHANNELS = pick(100, 1000);
const PER_CHANNEL = pick(20, 100);
const SIZE = 256;
const READY_MS = 5000;
const BATCH = 500; // channels of one broadcast

const channelOf = (i) => `cached-${i}`;
const payload = (n) =>
  JSON.stringify({ n, fill: 'x' }).replace('x', 'x'.repeat(SIZE - 20 - `${n}`.length));

async function fill(peers) {
  const agents = peers.map(() => new http.Agent({ keepAlive: true }));
  const names = Array.from({ length: CHANNELS }, (_, i) => channelOf(i));
  for (let n = 1; n <= PER_CHANNEL; n++) {
    for (let at = 0; at < CHANNELS; at += BATCH) {
      let left = names.slice(at, at + BATCH);
      for (let tries = 0; left.length > 0; tries++) {
        assert.ok(tries < 100, `${left.length} channels refused again and again`);
        const k = (n + tries) % peers.length;
        const body = JSON.stringify({ channels: left, data: 0, idempotency_key: `fill-${n}` });
        const res = await api(
          peers[k],
          'broadcast',
          body.replace('"data":0', `"data":${payload(n)}`),
          {
            agent: agents[k],
            timeoutMs: patience(20_000),
          },
        );
        assert.equal(res.status, 200, res.text);
        const { responses } = res.json().result;
        assert.equal(responses.length, left.length);
        left = left.filter((_, i) => {
          const { result, error } = responses[i];
          assert.ok(result !== undefined || error.code === 100, JSON.stringify(error));
          return result === undefined;
        });
      }
    }
  }
  for (const agent of agents) agent.destroy();
}

story('a peer with a full cache is back within 5 s, under load', async () => {
  const config =
    'client: {insecure: true}\nstore: {max_memory: 256MiB}\nnamespaces:\n' +
    '  - {name: "", history_size: 5000, history_ttl: 1h, force_recovery: true}\n';
  const cluster = await startCluster({ config });
  const begun = performance.now();
  await fill(cluster.peers);
  const seconds = (performance.now() - begun) / 1000;
  const total = CHANNELS * PER_CHANNEL;
  console.log(
    `${total} messages of ${SIZE} bytes in ${CHANNELS} channels, ` +
      `${(total / seconds).toFixed(0)} a second`,
  );

  const [killed] = cluster.peers.slice(-1);
  const busy = ['busy-0', 'busy-1', 'busy-2', 'busy-3'];
  const publisher = new Publisher(cluster.peers, busy, { rate: pick(50, 300) }).start();
  await until('publishing has begun', 20_000, () => publisher.acked > 50);
  await killed.kill();
  const acked = publisher.acked;
  await until('publishing goes on', 20_000, () => publisher.acked > acked + 100);
  const restarted = performance.now();
  killed.start();
  await killed.ready(60_000);
  const readyMs = performance.now() - restarted;
  const ready = performance.now();

  const agent = new http.Agent({ keepAlive: true });
  for (let i = 0; i < CHANNELS; i++) {
    const { publications, offset } = await call(
      killed,
      'history',
      { channel: channelOf(i), limit: -1 },
      { agent },
    );
    assert.equal(offset, PER_CHANNEL, channelOf(i));
    assert.equal(publications.length, PER_CHANNEL, channelOf(i));
    publications.forEach((pub, k) => {
      assert.equal(pub.offset, k + 1);
      assert.equal(pub.data.n, k + 1);
    });
  }
  agent.destroy();
  await publisher.stop();
  const gap = publisher.gaps(restarted, ready).worst;
  console.log(
    `ready after ${readyMs.toFixed(0)} ms; publishing paused for up to ${gap.toFixed(0)} ms`,
  );
  checkComplete(publisher, []);
  for (const channel of busy) {
    await caughtUp([killed], channel, publisher.logs.get(channel).size);
    const { publications } = await call(killed, 'history', { channel, limit: -1 });
    assert.deepEqual(
      publications.map((pub) => pub.data.id),
      [...publisher.logs.get(channel)].sort(([a], [b]) => a - b).map(([, id]) => id),
      channel,
    );
  }
  const limit = full ? READY_MS : short ? patience(READY_MS) : READY_MS * 2;
  assert.ok(readyMs <= limit, `ready after ${readyMs.toFixed(0)} ms, more than ${limit}`);
});
