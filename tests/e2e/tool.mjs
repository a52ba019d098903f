// The tool `dunlin` as its users and scripts meet it: exact lines, JSON keys, exit statuses.
import assert from 'node:assert/strict';
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { dunlin, pick } from './lib/env.mjs';
import { api, call, request } from './lib/http.mjs';
import { devPort, run, scratchDir, startCluster, story } from './lib/peers.mjs';
import { jwt } from './lib/raw.mjs';
import { until, within } from './lib/wait.mjs';

const PEER = /^peer=(n\d) pid=(\d+) client=(\S+) gossip=(\S+) replication=(\S+)$/;

async function tool(...args) {
  const it = run(dunlin, args.map(String));
  return within(`dunlin ${args.join(' ')} ends`, 60_000, it.exited);
}
const lines = (it) => it.stdout.split('\n').filter((line) => line !== '');
const peersOf = (it) =>
  lines(it)
    .map((line) => PEER.exec(line))
    .filter((m) => m !== null)
    .map(([, name, pid, client, gossip, replication]) => ({
      name,
      pid: Number(pid),
      client,
      gossip,
      replication,
      url: `http://${client}`,
    }));

async function dev(...args) {
  const port = await devPort(3);
  const it = run(dunlin, ['dev', '--peers', '3', '--port', `${port}`, ...args]);
  await until('dev says ready', 30_000, () => {
    if (it.status !== undefined) throw new Error(`it ended: ${it.status} ${it.stderr}`);
    return lines(it).includes('ready');
  });
  return { it, port };
}

const alive = (pid) => {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
};

story('dev prints the documented lines, reports a death, ends all on Ctrl-C', async () => {
  const { it, port } = await dev();
  const peers = peersOf(it);
  assert.deepEqual(
    peers.map((p) => [p.name, p.client, p.gossip, p.replication]),
    [0, 1, 2].map((i) => [
      `n${i + 1}`,
      `127.0.0.1:${port + i}`,
      `127.0.0.1:${port - 54 + 10 * i}`,
      `127.0.0.1:${port - 53 + 10 * i}`,
    ]),
  );
  assert.equal(lines(it).length, 4, it.stdout);
  for (const peer of peers) assert.equal((await request(`${peer.url}/readyz`)).status, 200);

  process.kill(peers[1].pid, 'SIGKILL');
  await until('the death is reported', 10_000, () => lines(it).includes('died=n2'));
  await until('the others go on', 10_000, async () => {
    const res = await api(peers[0], 'publish', { channel: 'a', data: 1, idempotency_key: '1' });
    return res.json().result;
  });
  assert.equal(peersOf(it).length, 3, 'without --restart it stays dead');
  process.kill(it.pid, 'SIGINT');
  await within('dev ends', 30_000, it.exited);
  assert.equal(it.status, 0, it.stderr);
  for (const peer of peers) assert.ok(!alive(peer.pid), `${peer.name} outlived dev`);
});

story('dev --restart brings a killed peer back under a new line', async () => {
  const { it } = await dev('--restart');
  const [first] = peersOf(it);
  process.kill(first.pid, 'SIGKILL');
  await until('it is reported', 10_000, () => lines(it).includes('died=n1'));
  const again = await until('a new line', 10_000, () => peersOf(it)[3]);
  assert.equal(again.name, 'n1');
  assert.notEqual(again.pid, first.pid);
  assert.equal(again.client, first.client);
  await until(
    'it is ready',
    20_000,
    async () => (await request(`${again.url}/readyz`)).status === 200,
  );
  process.kill(it.pid, 'SIGTERM');
  await within('dev ends', 30_000, it.exited);
  assert.ok(!alive(again.pid));
});

story('dev does not start where a port is taken', async () => {
  const cluster = await startCluster({ peers: 1 });
  const [peer] = cluster.peers;
  const it = await tool('dev', '--port', peer.ports.client);
  assert.equal(it.status, 71, it.stderr);
  assert.ok(it.stderr.includes(`127.0.0.1:${peer.ports.client}`), it.stderr);
});

story('pub and sub: positions, --since, another server when one is dead', async () => {
  const cluster = await startCluster();
  const servers = cluster.peers.map((p) => p.url).join(',');
  const sub = run(dunlin, ['sub', 'news', '--server', servers, '--json', '--count', '3']);
  await until('it is subscribed', 10_000, () => sub.stderr.includes('subscribed at'));
  const pub = await tool('pub', 'news', '{"n":1}', '--server', cluster.peers[1].url, '--json');
  assert.equal(pub.status, 0, pub.stderr);
  const { epoch, seq, idempotency_key: key } = JSON.parse(pub.stdout);
  assert.equal(seq, 1);
  assert.match(epoch, /./);
  assert.match(key, /./);
  assert.equal((await tool('pub', 'news', 'two words', '--text', '--server', servers)).status, 0);
  const plain = await tool('pub', 'news', '1.10', '--server', servers);
  assert.equal(plain.stdout, `seq=3 epoch=${epoch}\n`);
  await within('sub ends after three', 10_000, sub.exited);
  assert.deepEqual(
    lines(sub).map((line) => {
      const m = JSON.parse(line);
      return [m.channel, m.epoch, m.seq, m.data];
    }),
    [
      ['news', epoch, 1, { n: 1 }],
      ['news', epoch, 2, 'two words'],
      ['news', epoch, 3, 1.1],
    ],
  );
  assert.match(sub.stdout, /"data":1\.10\}/);

  await cluster.peers[0].kill();
  const since = await tool(
    'sub',
    'news',
    '--since',
    `${epoch}:1`,
    '--count',
    2,
    '--server',
    servers,
  );
  assert.equal(since.status, 0, since.stderr);
  assert.equal(since.stdout, '2 "two words"\n3 1.10\n');
  const again = await tool('pub', 'news', '4', '--server', servers);
  assert.equal(again.status, 0, again.stderr);
});

story('sub goes on at another server when its own is killed', async () => {
  const cluster = await startCluster();
  const [n1, n2, n3] = cluster.peers;
  const servers = [n1, n2, n3].map((p) => p.url).join(',');
  const sub = run(dunlin, ['sub', 'move', '--server', servers]);
  const at = await until('it is subscribed', 10_000, () =>
    /subscribed at .* on (\S+)/.exec(sub.stderr),
  );
  const mine = cluster.peers.find((p) => at[1].startsWith(p.url));
  const others = cluster.peers.filter((p) => p !== mine);
  await call(others[0], 'publish', { channel: 'move', data: 1 });
  await until('the first', 5000, () => lines(sub).length === 1);
  await mine.kill();
  await until('publishing goes on', 10_000, async () => {
    const body = { channel: 'move', data: 2, idempotency_key: 'two' };
    return (await api(others[0], 'publish', body)).json().result;
  });
  await until('the second', 10_000, () => lines(sub).length === 2);
  assert.deepEqual(lines(sub), ['1 1', '2 2']);
  process.kill(sub.pid, 'SIGINT');
  assert.equal((await within('sub ends', 5000, sub.exited)).status, 0);
});

story('status says who is ready, in text and JSON, and by its exit status', async () => {
  const cluster = await startCluster();
  const servers = cluster.peers.map((p) => p.url).join(',');
  const all = await tool('status', '--server', servers, '--json');
  assert.equal(all.status, 0, all.stderr);
  const { servers: list } = JSON.parse(all.stdout);
  assert.deepEqual(
    list.map((s) => [s.url, s.reachable, s.ready]),
    cluster.peers.map((p) => [p.url, true, true]),
  );
  assert.equal(list[0].info.result.nodes.length, 3);
  await cluster.peers[2].kill();
  const some = await tool('status', '--server', servers);
  assert.equal(some.status, 1);
  assert.match(some.stdout, /unreachable/);
  const none = await tool('status', '--server', cluster.peers[2].url);
  assert.equal(none.status, 69);
});

story('keygen and token', async () => {
  const path = join(scratchDir(), 'cluster.key');
  assert.equal((await tool('keygen', '--out', path)).status, 0);
  assert.match(readFileSync(path, 'utf8'), /^[0-9a-f]{64}\n$/);
  assert.equal(statSync(path).mode & 0o777, 0o600);
  const twice = await tool('keygen', '--out', path);
  assert.equal(twice.status, 71);
  assert.match(twice.stderr, /cluster\.key/);
  const printed = await tool('keygen');
  assert.match(printed.stdout, /^[0-9a-f]{64}\n$/);
  assert.notEqual(printed.stdout, readFileSync(path, 'utf8'));
  assert.match(JSON.parse((await tool('keygen', '--json')).stdout).key, /^[0-9a-f]{64}$/);

  const made = await tool(
    'token',
    '--secret',
    's',
    '--user',
    'anna',
    '--channel',
    'c',
    '--exp',
    60,
  );
  const claims = JSON.parse(Buffer.from(made.stdout.split('.')[1], 'base64url'));
  assert.equal(claims.sub, 'anna');
  assert.equal(claims.channel, 'c');
  assert.ok(Math.abs(claims.exp - Date.now() / 1000 - 60) < 10);
  assert.equal(made.stdout.trim().split('.')[2], jwt('s', claims).split('.')[2], 'signed as HS256');
  assert.equal((await tool('token')).status, 64);
});

story('bad usage exits with 64 and names the word', async () => {
  for (const [args, pattern] of [
    [[], /Usage/],
    [['nothing'], /nothing/],
    [['pub', 'a'], /missing/],
    [['pub', 'a', '{'], /JSON/],
    [['sub', 'a', '--since', 'x'], /EPOCH:SEQ/],
    [['pub', 'a', '1', '--wrong'], /--wrong/],
    [['bench', 'x'], /x/],
    [['bench', 'overload', 'x'], /unknown kind/],
    [['dev', '--peers', '99'], /99/],
    [['status', '--server', 'nonsense://x'], /nonsense/],
  ]) {
    const it = await tool(...args);
    assert.equal(it.status, 64, `${args.join(' ')}: ${it.stderr}`);
    assert.match(it.stderr, pattern, args.join(' '));
  }
  for (const command of ['dev', 'pub', 'sub', 'status', 'bench', 'token', 'keygen'])
    assert.equal((await tool(command, '--help')).status, 0, command);
});

story('benches have their keys in JSON', async () => {
  const cluster = await startCluster();
  const servers = cluster.peers.map((p) => p.url).join(',');
  const bench = async (...args) => {
    const it = await tool('bench', ...args, '--server', servers, '--json');
    assert.equal(it.status, 0, it.stderr);
    return JSON.parse(it.stdout);
  };
  const fanout = await bench('fanout', '--subscribers', 30, '--messages', pick(50, 200));
  for (const key of ['deliveries_per_s', 'raw_sends_per_s', 'ratio'])
    assert.ok(fanout[key] > 0, `fanout.${key}: ${JSON.stringify(fanout)}`);
  const publish = await bench('publish', '--count', pick(50, 300));
  for (const key of ['acked_per_s', 'raw_rtt_us', 'ratio'])
    assert.ok(publish[key] > 0, `publish.${key}: ${JSON.stringify(publish)}`);
  assert.ok(publish.latency_us.p50 > 0 && publish.latency_us.p99 >= publish.latency_us.p50);
  const [peer] = cluster.peers;
  const it = await tool(
    'bench',
    'connections',
    '--pid',
    peer.process.pid,
    '--connections',
    50,
    '--server',
    peer.url,
    '--json',
  );
  assert.equal(it.status, 0, it.stderr);
  const connections = JSON.parse(it.stdout);
  assert.equal(connections.connections, 50);
  assert.equal(typeof connections.bytes_per_connection, 'number');
  cluster.peers[2].expectExit = true;
  const recover = await bench(
    'recover',
    '--pid',
    cluster.peers[2].process.pid,
    '--clients',
    12,
    '--after',
    2000,
  );
  assert.equal(recover.clients, 12);
  assert.ok(recover.disconnected > 0, JSON.stringify(recover));
  assert.equal(recover.resumed, recover.disconnected);
  assert.equal(recover.out_of_order, 0);
  assert.equal(recover.behind, 0);
  assert.ok(recover.publish_gap_ms >= 0 && recover.resumed_ms.p99 >= recover.resumed_ms.p50);
});
