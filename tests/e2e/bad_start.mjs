// What an operator may get wrong: each mistake ends with an exit status and a message that names
// it, and none harms the peers that were right.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { join } from 'node:path';
import { dunlind, dunlin, patience } from './lib/env.mjs';
import { call, request } from './lib/http.mjs';
import { Cluster, freePort, run, scratchDir, startCluster, story } from './lib/peers.mjs';
import { connected } from './lib/raw.mjs';
import { until, within } from './lib/wait.mjs';

/** Runs dunlind to its end. */
async function outcome(args, options) {
  const it = run(dunlind, args, options);
  return within(`dunlind ${args.join(' ')} ends`, 15_000, it.exited);
}

let files = 0;
function file(text, name = `f${files++}.yaml`) {
  const path = join(scratchDir(), name);
  writeFileSync(path, text);
  return path;
}

const check = (yaml, ...args) => outcome(['--check', '--config', file(yaml), ...args]);
const complains = (it, status, ...patterns) => {
  assert.equal(it.status, status, `${it.stdout}${it.stderr}`);
  for (const pattern of patterns) assert.match(it.stderr, pattern);
};

story('bad usage exits with 64 and says how', async () => {
  complains(await outcome(['--wrong']), 64, /--wrong/);
  complains(await outcome(['--config']), 64, /--config/);
  complains(await outcome(['word']), 64, /word/);
  complains(await outcome(['--set', 'nonsense']), 64, /nonsense/);
  const help = await outcome(['--help']);
  assert.equal(help.status, 0);
  for (const option of ['--config', '--voters', '--join', '--check', '--dev', '--set'])
    assert.ok(help.stdout.includes(option), option);
  const version = await outcome(['--version']);
  assert.equal(version.status, 0);
  assert.match(version.stdout, /^dunlind? \d+\.\d+\.\d+/);
});

story('--check tells good files from bad ones, with file and line', async () => {
  assert.equal((await check('name: n1\n')).status, 0);
  assert.equal((await check('voters: [n1, n2, n3]\n', '--name', 'n2')).status, 0);
  complains(await check('name: n1\nnmae: n2\n'), 78, /f\d+\.yaml:2/, /nmae/);
  complains(await check('name: n1\nclient:\n  lisen: ":8000"\n'), 78, /f\d+\.yaml:3/, /lisen/);
  complains(await check('name: n1\nstore: {max_memory: 512}\n'), 78, /max_memory/, /512/);
  complains(await check('name: n1\ncluster: {loss_timeout: 5x}\n'), 78, /loss_timeout/, /5x/);
  complains(await check('name: [\n'), 78, /f\d+\.yaml:/);
  complains(await check(`name: ${'n'.repeat(64)}\n`), 78, /name/, /63/);
  complains(await check('voters: [a, a]\n', '--name', 'a'), 78, /voters/);
  complains(await check('voters: [a, b, c, d, e, f, g, h]\n', '--name', 'a'), 78, /voters/, /7/);
  complains(
    await check('namespaces:\n  - {name: "a"}\n  - {name: "a"}\n', '--name', 'n1'),
    78,
    /namespaces/,
  );
  complains(await check('namespaces:\n  - {history_size: 5}\n', '--name', 'n1'), 78, /name/);
  complains(await check('client: {listen: "nowhere"}\n', '--name', 'n1'), 78, /listen/);
  complains(await check('client: {listen: "127.0.0.1:99999"}\n', '--name', 'n1'), 78, /99999/);
  complains(await outcome(['--check', '--config', '/nonexistent.yaml']), 78, /nonexistent\.yaml/);
  complains(await outcome(['--check', '--name', 'n1', '--set', 'wrong.key=1']), 78, /wrong\.key/);
  complains(
    await outcome(['--check', '--name', 'n1'], { env: { DUNLIN_STORE_MAX_MEMORY: 'lots' } }),
    78,
    /DUNLIN_STORE_MAX_MEMORY|max_memory/,
  );
});

story('key files: missing, malformed, unreadable, too few for other hosts', async () => {
  const config = (path) => `name: n1\ncluster: {key_file: "${path}"}\n`;
  complains(await check(config('/nonexistent.key')), 78, /nonexistent\.key/);
  complains(await check(config(file('not a key\n', 'bad.key'))), 78, /bad\.key/);
  const hidden = join(scratchDir(), 'hidden');
  mkdirSync(hidden, { mode: 0 });
  if (process.getuid() !== 0) complains(await check(config(join(hidden, 'a.key'))), 78, /a\.key/);
  chmodSync(hidden, 0o700);
  const open = [
    '--gossip',
    `0.0.0.0:${await freePort()}`,
    '--replication',
    `0.0.0.0:${await freePort()}`,
  ];
  const client = ['--client', `127.0.0.1:${await freePort()}`];
  complains(await outcome(['--name', 'n1', ...client, ...open]), 78, /key_file/, /gossip\.listen/);
});

story('a taken port exits with 71 and names the address', async () => {
  const cluster = new Cluster({ peers: 1 });
  await cluster.plan();
  const [peer] = cluster.peers;
  for (const which of ['client', 'gossip', 'replication']) {
    const server = net.createServer();
    await new Promise((resolve) => server.listen(peer.ports[which], '127.0.0.1', resolve));
    complains(await outcome(peer.args()), 71, new RegExp(`127\\.0\\.0\\.1:${peer.ports[which]}`));
    await new Promise((resolve) => server.close(resolve));
  }
  complains(await outcome([...peer.args(), '--client', '192.0.2.1:8000']), 71, /192\.0\.2\.1:8000/);
});

const DATA = { channel: 'news', data: 1 };

story('a peer with another key is told apart, and the others go on', async () => {
  const keygen = async (name) => {
    const path = join(scratchDir(), name);
    await run(dunlin, ['keygen', '--out', path]).exited;
    return path;
  };
  const good = await keygen('good.key');
  const bad = await keygen('bad2.key');
  const cluster = new Cluster({
    config: (peer) =>
      `client: {insecure: true}\ncluster: {key_file: "${peer.name === 'n3' ? bad : good}"}\n` +
      'namespaces:\n  - {name: "", history_size: 10, history_ttl: 60s}\n',
  });
  await cluster.plan();
  const [n1, n2, n3] = cluster.peers;
  for (const peer of cluster.peers) peer.start();
  // Two that have never heard the third cannot know that it has no state; a majority of them can
  // serve only after loss_timeout, unless the group formed. So the good pair is not ready at first.
  await n1.logged(/(seal|key).*/i, 15_000);
  await until('a log names the key', 15_000, () =>
    [...n1.log, ...n2.log, ...n3.log].some((line) =>
      /does not open|cluster key|key_file/i.test(line),
    ),
  );
  assert.equal((await n3.readyz()).status, 503);
  await n3.kill();
  n3.cluster.config =
    `client: {insecure: true}\ncluster: {key_file: "${good}"}\n` +
    'namespaces:\n  - {name: "", history_size: 10, history_ttl: 60s}\n';
  n3.start();
  await Promise.all(cluster.peers.map((peer) => peer.ready(30_000)));
  assert.equal((await call(n1, 'publish', DATA)).offset, 1);

  // And into a cluster that serves: it stays out, the others do not falter.
  const third = cluster.get('n3');
  await third.kill();
  cluster.config =
    `client: {insecure: true}\ncluster: {key_file: "${bad}"}\n` +
    'namespaces:\n  - {name: "", history_size: 10, history_ttl: 60s}\n';
  third.start();
  await until('it is up and not ready', 10_000, async () => (await third.readyz()).status === 503);
  await third.logged(/seal|key/i, 10_000);
  for (let n = 2; n < 30; n++) assert.equal((await call(n2, 'publish', DATA)).offset, n);
  assert.equal((await n1.readyz()).status, 200);
  assert.equal((await third.readyz()).status, 503);
});

story(
  'a second peer of one name stops with 78 and names the first; the first goes on',
  async () => {
    const cluster = await startCluster();
    const [n1, n2] = cluster.peers;
    const twin = new Cluster({ peers: 1, extra: [] });
    await twin.plan();
    const [second] = twin.peers;
    twin.voters = cluster.voters;
    const begun = performance.now();
    second.extra = ['--join', n2.gossipAddr];
    second.start();
    second.expectExit = true;
    await within('the twin ends', 20_000, second.process.exited);
    assert.equal(second.process.status, 78, second.log.join('\n'));
    assert.ok(
      second.log.some((line) => line.includes('n1') && line.includes(n1.gossipAddr)),
      `no line names ${n1.gossipAddr}:\n${second.log.join('\n')}`,
    );
    console.log(`the twin ended after ${(performance.now() - begun).toFixed(0)} ms`);
    assert.equal((await n1.readyz()).status, 200);
    for (let n = 1; n < 20; n++) assert.equal((await call(n1, 'publish', DATA)).offset, n);
    const reset = n1.log.filter((line) => /boot_outlived/.test(line));
    assert.deepEqual(reset, [], 'the twin made the first one forget');
  },
);

story('a peer with other voters is refused by name and does not become ready', async () => {
  const cluster = await startCluster();
  const [n1, n2, n3] = cluster.peers;
  await n3.kill();
  n3.voters = ['n1', 'n3', 'n9'];
  n3.start();
  await until('a log names the difference', 15_000, () =>
    n3.log.some((line) => /voters/i.test(line) && /n[12]/.test(line)),
  );
  await until('so do the others', 15_000, () =>
    [...n1.log, ...n2.log].some((line) => /voters/i.test(line) && /n3/.test(line)),
  );
  assert.equal((await n3.readyz()).status, 503);
  for (let n = 1; n < 20; n++) assert.equal((await call(n1, 'publish', DATA)).offset, n);
  await n3.kill();
  n3.voters = undefined;
  n3.start();
  await n3.ready();
});

story('garbage on any port does no harm', async () => {
  const cluster = await startCluster();
  const [n1] = cluster.peers;
  const raw = await connected(n1);
  await raw.ask({ subscribe: { channel: 'news' } });
  const send = (port, bytes) =>
    new Promise((resolve) => {
      const socket = net.connect(port, '127.0.0.1', () => socket.end(bytes));
      socket.on('data', () => {});
      socket.on('error', resolve);
      socket.on('close', resolve);
      socket.setTimeout(patience(1000), () => socket.destroy());
    });
  // The NNG handshake, then nonsense frames: sizes that lie, random bytes, an endless header.
  const hello = Buffer.from([0, 0x53, 0x50, 0, 0, 0x50, 0, 0]);
  const framed = (n) => {
    const size = Buffer.alloc(8);
    size.writeBigUInt64BE(BigInt(n));
    return Buffer.concat([hello, size, randomBytes(n)]);
  };
  for (const port of Object.values(n1.ports)) {
    for (let i = 0; i < 20; i++) await send(port, randomBytes(1 + i * 50));
    for (const n of [1, 16, 100, 4000]) await send(port, framed(n));
    await send(port, Buffer.concat([hello, Buffer.alloc(8, 0xff), randomBytes(100)]));
    await send(port, Buffer.alloc(100_000, 'GET / HTTP/1.1\r\n'));
  }
  for (let n = 1; n < 20; n++) assert.equal((await call(n1, 'publish', DATA)).offset, n);
  await until('its client is served', 5000, () => raw.pubs('news').length === 19);
  assert.equal((await request(`${n1.url}/readyz`)).status, 200);
  raw.close();
});

story('a single peer is a cluster too', async () => {
  const cluster = await startCluster({ peers: 1 });
  const [only] = cluster.peers;
  assert.equal((await call(only, 'publish', DATA)).offset, 1);
  assert.equal(await only.terminate(), 0);
  const bare = run(dunlind, [
    '--dev',
    '--name',
    'solo',
    '--client',
    `127.0.0.1:${await freePort()}`,
    '--gossip',
    `127.0.0.1:${await freePort()}`,
    '--replication',
    `127.0.0.1:${await freePort()}`,
  ]);
  await until('it says something', 10_000, () => bare.lines.length > 0);
  process.kill(bare.pid, 'SIGINT');
  assert.equal((await within('it stops on SIGINT', 15_000, bare.exited)).status, 0);
});
