// A subscriber that does not read costs its place, not memory; when it reads again it gets
// everything, or is told that the log no longer has it.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import { pick, short } from './lib/env.mjs';
import { call, request } from './lib/http.mjs';
import { startCluster, story } from './lib/peers.mjs';
import { connected } from './lib/raw.mjs';
import { until } from './lib/wait.mjs';

const MESSAGES = pick(4000, 20_000);
const SIZE = 1000;
const CLIENTS = 20;
const MANY = 8000; // of LARGE bytes: more than the buffers of any socket
const LARGE = 4000;
const CONFIG = `
client: {insecure: true}
store: {max_memory: 256MiB}
namespaces:
  - {name: "", history_size: 50000, history_ttl: 1h, force_recovery: true}
  - {name: few, history_size: 100, history_ttl: 1h, force_recovery: true}
  - {name: plain}
`;
const cluster = await startCluster({ config: CONFIG });
const [n1, n2] = cluster.peers;
const memory = () => {
  const text = readFileSync(`/proc/${n1.process.pid}/status`, 'utf8');
  return Number(/RssAnon:\s+(\d+) kB/.exec(text)[1]) / 1024;
};

async function publishMany(channel, count, size = SIZE) {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 32 });
  const fill = 'x'.repeat(size);
  let next = 1;
  const lane = async () => {
    while (next <= count)
      await call(n2, 'publish', { channel, data: { n: next++, fill } }, { agent });
  };
  await Promise.all(Array.from({ length: 32 }, lane));
  agent.destroy();
}

async function sleeper(channel) {
  const raw = await connected(n1);
  assert.ok((await raw.ask({ subscribe: { channel } })).subscribe);
  raw.socket._socket.pause();
  return raw;
}

story(
  'clients that do not read get everything when they do, and cost little meanwhile',
  async () => {
    const raws = await Promise.all(Array.from({ length: CLIENTS }, () => sleeper('lag')));
    await publishMany('lag', MESSAGES / 2);
    const filled = memory();
    await publishMany('lag', MESSAGES / 2);
    const grown = memory() - filled;
    // The log itself grows by half of the messages; queues would grow by that for every client.
    const log = (MESSAGES / 2) * SIZE * 1e-6;
    console.log(
      `${grown.toFixed(1)} MB more for ${log.toFixed(1)} MB of messages, ${CLIENTS} sleepers`,
    );
    if (!short) assert.ok(grown < 4 * log + 16, `grew by ${grown.toFixed(1)} MB`);
    for (const raw of raws) raw.socket._socket.resume();
    await until('all have all', 60_000, () =>
      raws.every((raw) => raw.pubs('lag').length === MESSAGES),
    );
    for (const raw of raws) raw.pubs('lag').forEach((pub, i) => assert.equal(pub.offset, i + 1));
    for (const raw of raws) raw.close();
  },
);

story('a client that slept too long is unsubscribed with 2500 and learns the gap', async () => {
  const raw = await sleeper('few:lag');
  await publishMany('few:lag', MANY, LARGE);
  raw.socket._socket.resume();
  const push = await until('it is told', 20_000, () =>
    raw.pushes.find((p) => p.channel === 'few:lag' && p.unsubscribe),
  );
  assert.equal(push.unsubscribe.code, 2500);
  const got = raw.pubs('few:lag');
  got.forEach((pub, i) => assert.equal(pub.offset, i + 1, 'up to there without a gap'));
  assert.ok(got.length < MANY);
  const { subscribe } = await raw.ask({
    subscribe: { channel: 'few:lag', recover: true, epoch: '', offset: got.length },
  });
  assert.equal(subscribe.recovered, undefined);
  assert.equal(subscribe.offset, MANY);
  assert.equal(subscribe.gap.from, got.length + 1);
  assert.equal(subscribe.gap.to, MANY - 100);
  raw.close();
});

story('without history a client that does not read is closed as slow', async () => {
  const raw = await sleeper('plain:lag');
  await publishMany('plain:lag', MANY, LARGE);
  raw.socket._socket.resume();
  const end = await raw.end();
  const { text } = await request(`${n1.url}/metrics`);
  assert.match(text, /^dunlin_clients_shed_total [1-9]/m);
  // 1006: it slept through the five seconds that a close frame waits for its reader.
  assert.ok([3008, 1006].includes(end.code), `${end.code} ${end.reason}`);
  const got = raw.pubs('plain:lag').map((pub) => pub.data.n);
  assert.ok(got.length < MANY);
  assert.equal(new Set(got).size, got.length);
});
