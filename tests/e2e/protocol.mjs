// The Centrifuge client protocol, spoken raw: batching, errors, closes, limits and recovery; and
// the official SDK's basics.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { disconnectAll, Record, sdkClient } from './lib/client.mjs';
import { call, caughtUp } from './lib/http.mjs';
import { startCluster, story } from './lib/peers.mjs';
import { Raw, connected } from './lib/raw.mjs';
import { until, within } from './lib/wait.mjs';

const CONFIG = `
client: {insecure: true}
namespaces:
  - {name: "", history_size: 1000, history_ttl: 300s, force_recovery: true, presence: true}
  - {name: few, history_size: 3, history_ttl: 300s, force_recovery: true}
  - {name: asked, history_size: 100, history_ttl: 300s, allow_recovery: true}
  - {name: plain}
  - {name: joins, history_size: 10, history_ttl: 300s, presence: true, join_leave: true,
     force_push_join_leave: true}
`;
const cluster = await startCluster({ config: CONFIG });
const [n1, n2, n3] = cluster.peers;
const publish = (peer, channel, data) => call(peer, 'publish', { channel, data });
const code = (reply) => reply.error?.code;
const range = (from, to) => Array.from({ length: to - from + 1 }, (_, i) => from + i);

story('connect and subscribe may come in one message, and are answered in order', async () => {
  const raw = new Raw(n1);
  await raw.opened;
  const [c, s, p] = raw.batch(
    { connect: {} },
    { subscribe: { channel: 'batched', flag: 1 } },
    { publish: { channel: 'batched', data: { n: 1 } } },
  );
  const hello = (await raw.reply(c)).connect;
  assert.match(hello.client, /^[0-9a-f-]{36}$/);
  assert.ok(Number.isInteger(hello.ping) && hello.ping >= 1, `ping ${hello.ping}`);
  assert.equal(hello.pong, true);
  assert.match(hello.version, /./);
  const sub = (await raw.reply(s)).subscribe;
  assert.equal(sub.recoverable, true);
  assert.equal(sub.positioned, true);
  assert.match(sub.epoch, /./);
  assert.deepEqual((await raw.reply(p)).publish, {});
  await until('its own publication', 5000, () => raw.pubs('batched').length === 1);
  const [pub] = raw.pubs('batched');
  assert.equal(pub.offset, 1);
  assert.deepEqual(pub.data, { n: 1 });
  assert.equal(pub.info.client, hello.client);
  assert.deepEqual(
    raw.replies.slice(0, 2).map((r) => r.id),
    [c, s],
  );
  assert.ok(raw.messages.every((m) => !m.binary));
  raw.close();
});

story('errors have their codes and leave the connection up', async () => {
  const raw = await connected(n2);
  const long = 'c'.repeat(256);
  const table = [
    [{ subscribe: { channel: 'nowhere:a' } }, 102],
    [{ subscribe: { channel: '$private' } }, 103],
    [{ subscribe: { channel: long } }, 107],
    [{ subscribe: { channel: 'a', tf: { key: 'k', cmp: 'eq', val: 'v' } } }, 107],
    [{ subscribe: { channel: 'a', type: 1 } }, 108],
    [{ publish: { channel: 'nowhere:a', data: 1 } }, 102],
    [{ publish: { channel: 'a' } }, 107],
    [{ publish: { channel: long, data: 1 } }, 107],
    [{ history: { channel: 'plain:a', limit: 1 } }, 108],
    [{ history: { channel: 'nowhere:a', limit: 1 } }, 102],
    [{ history: { channel: 'a', limit: 1, reverse: true, since: { offset: 0, epoch: '' } } }, 107],
    [{ history: { channel: 'a', limit: 1, since: { offset: 1, epoch: 'zz' } } }, 112],
    [{ presence: { channel: 'plain:a' } }, 108],
    [{ presence_stats: { channel: 'plain:a' } }, 108],
    [{ rpc: { method: 'x', data: {} } }, 108],
  ];
  for (const [command, want] of table) {
    const reply = await raw.ask(command);
    assert.equal(
      code(reply),
      want,
      `${JSON.stringify(command).slice(0, 70)}: ${JSON.stringify(reply)}`,
    );
    assert.match(reply.error.message, /./);
    assert.equal(reply.error.temporary, undefined);
  }
  assert.ok((await raw.ask({ subscribe: { channel: 'twice' } })).subscribe);
  assert.equal(code(await raw.ask({ subscribe: { channel: 'twice' } })), 105);
  assert.deepEqual((await raw.ask({ unsubscribe: { channel: 'never' } })).unsubscribe, {});
  raw.close();
});

story('a client may have 128 channels, not one more', async () => {
  const raw = await connected(n1);
  const ids = raw.batch(...range(1, 128).map((i) => ({ subscribe: { channel: `many-${i}` } })));
  for (const id of ids) assert.ok((await raw.reply(id)).subscribe);
  assert.equal(code(await raw.ask({ subscribe: { channel: 'many-129' } })), 106);
  await raw.ask({ unsubscribe: { channel: 'many-1' } });
  assert.ok((await raw.ask({ subscribe: { channel: 'many-129' } })).subscribe);
  raw.close();
});

story('what breaks the protocol closes the connection with 3501', async () => {
  const before = [
    '{"id":1,"subscribe":{"channel":"a"}}',
    '{"id":1,"ping":{}}',
    'x',
    '[]',
    '{"id":1}',
  ];
  for (const text of before) {
    const raw = new Raw(n1);
    await raw.opened;
    raw.send(text);
    assert.deepEqual(await raw.end(), { code: 3501, reason: 'bad request' }, text);
  }
  const after = [
    '{"id":7,"connect":{}}',
    '{"id":7,"subscribe":{"channel":""}}',
    '{"id":7,"subscribe":{"channel":"a","delta":"other"}}',
    '{"id":7,"unknown":{}}',
    '{"id":7,"publish":{"channel":"a","data":{]}}',
    '{"id":"7","publish":{"channel":"a","data":1}}',
    '{"id":7,"publish":{"channel":"a","data":1}} x',
    '{"id":7,"refresh":{}}',
    `${'['.repeat(2000)}`,
  ];
  for (const text of after) {
    const raw = await connected(n2);
    raw.send(text);
    assert.deepEqual(await raw.end(), { code: 3501, reason: 'bad request' }, text.slice(0, 60));
  }
  const raw = await connected(n2);
  raw.send('{"send":{"data":1}}');
  assert.equal((await raw.end()).code, 3508);
});

story('frames that break the WebSocket protocol are closed as RFC 6455 says', async () => {
  const unmasked = await connected(n1);
  unmasked.socket._socket.write(Buffer.from([0x81, 0x02, 0x7b, 0x7d]));
  assert.equal((await unmasked.end()).code, 1002);
  const reserved = await connected(n1);
  reserved.socket._socket.write(Buffer.from([0xf1, 0x80, 0, 0, 0, 0]));
  assert.equal((await reserved.end()).code, 1002);
  const opcode = await connected(n1);
  opcode.socket._socket.write(Buffer.from([0x83, 0x80, 0, 0, 0, 0]));
  assert.equal((await opcode.end()).code, 1002);
  const big = await connected(n1);
  big.send(`{"id":9,"publish":{"channel":"a","data":"${'x'.repeat(70_000)}"}}`);
  assert.equal((await big.end()).code, 1009);
  const pieces = await connected(n1);
  for (let i = 0; i < 3; i++) pieces.socket.send('x'.repeat(30_000), { fin: false });
  assert.equal((await pieces.end()).code, 1009);
  const utf8 = await connected(n1);
  utf8.socket._socket.write(Buffer.from([0x81, 0x82, 0, 0, 0, 0, 0xc3, 0x28]));
  assert.ok([1007, 3501].includes((await utf8.end()).code));
});

story('fragments, control frames between them and byte by byte writes are understood', async () => {
  const raw = await connected(n3);
  const text = JSON.stringify({
    id: 50,
    publish: { channel: 'frag', data: { a: 'é'.repeat(50) } },
  });
  const bytes = Buffer.from(text);
  for (let i = 0; i < bytes.length; i += 17) {
    raw.socket.send(bytes.subarray(i, i + 17), { fin: i + 17 >= bytes.length, binary: false });
    if (i === 17) raw.socket.ping('between');
  }
  await within('a pong', 5000, new Promise((resolve) => raw.socket.once('pong', resolve)));
  assert.deepEqual((await raw.reply(50)).publish, {});
  const small = Buffer.from('{"id":51,"publish":{"channel":"frag","data":2}}');
  const frame = Buffer.concat([Buffer.from([0x81, 0x80 | small.length, 0, 0, 0, 0]), small]);
  for (const byte of frame) raw.socket._socket.write(Buffer.from([byte]));
  assert.deepEqual((await raw.reply(51)).publish, {});
  await caughtUp([n1], 'frag', 2);
  raw.close();
});

story('the handshake: subprotocols, queries, bad requests', async () => {
  const json = await connected(n1, {}, { protocols: ['centrifuge-json'] });
  assert.equal(json.socket.protocol, 'centrifuge-json');
  json.close();
  const query = await connected(n1, {}, { query: '?cf_protocol_version=v2&x=y' });
  query.close();
  const empty = await connected(n1, {}, { headers: { 'Sec-WebSocket-Protocol': '' } });
  empty.close();
  const plain = await fetch(`${n1.url}/connection/websocket`);
  assert.equal(plain.status, 426);
});

story('a client that never connects is stale', async () => {
  const raw = new Raw(n1);
  await raw.opened;
  assert.deepEqual(await raw.end(), { code: 3502, reason: 'stale' });
});

story('pings come on time and must be answered', async () => {
  const deaf = await connected(n1);
  const good = await connected(n1);
  deaf.autoPong = false;
  const { ping } = deaf.result;
  await until('a ping to each', ping * 1000 + 3000, () => deaf.pings > 0 && good.pings > 0);
  const end = await within('the one without pong is closed', 15_000, deaf.closed);
  assert.deepEqual(end, { code: 3012, reason: 'no pong' });
  assert.deepEqual((await good.ask({ publish: { channel: 'a', data: 1 } })).publish, {});
  good.send('{}'); // nobody asked for it
  assert.deepEqual((await good.ask({ publish: { channel: 'a', data: 1 } })).publish, {});
  good.close();
});

story('unsubscribed means no more messages; subscribing again starts at the top', async () => {
  const raw = await connected(n1);
  await raw.ask({ subscribe: { channel: 'leave' } });
  await publish(n2, 'leave', 1);
  await until('the first', 5000, () => raw.pubs('leave').length === 1);
  assert.deepEqual((await raw.ask({ unsubscribe: { channel: 'leave' } })).unsubscribe, {});
  await publish(n2, 'leave', 2);
  await publish(n1, 'leave', 3);
  const again = (await raw.ask({ subscribe: { channel: 'leave' } })).subscribe;
  assert.equal(again.offset, 3);
  assert.equal(again.was_recovering, undefined);
  await publish(n3, 'leave', 4);
  await until('the fourth', 5000, () => raw.pubs('leave').length === 2);
  assert.deepEqual(
    raw.pubs('leave').map((pub) => pub.data),
    [1, 4],
  );
  const [u, s] = raw.batch(
    { unsubscribe: { channel: 'leave' } },
    { subscribe: { channel: 'leave' } },
  );
  assert.ok((await raw.reply(u)).unsubscribe);
  assert.ok((await raw.reply(s)).subscribe, 'subscribe right behind an unsubscribe');
  raw.close();
});

story('history through the socket', async () => {
  let epoch;
  for (const n of range(1, 400)) ({ epoch } = await publish(cluster.peers[n % 3], 'past', n));
  await caughtUp([n2], 'past', 400);
  const raw = await connected(n2);
  const ask = async (more) => {
    const reply = await raw.ask({ history: { channel: 'past', ...more } });
    assert.equal(reply.history?.offset, 400, JSON.stringify(reply));
    assert.equal(reply.history.epoch, epoch);
    return reply.history.publications.map((pub) => pub.offset);
  };
  assert.deepEqual(await ask({}), []);
  assert.deepEqual(await ask({ limit: 2 }), [1, 2]);
  assert.deepEqual(await ask({ limit: -1 }), range(1, 300));
  assert.deepEqual(await ask({ limit: 1000, since: { offset: 300, epoch } }), range(301, 400));
  assert.deepEqual(await ask({ limit: 3, since: { offset: 10, epoch: '' } }), [11, 12, 13]);
  assert.deepEqual(await ask({ limit: 3, reverse: true }), [400, 399, 398]);
  assert.deepEqual(await ask({ limit: 3, reverse: true, since: { offset: 3, epoch } }), [2, 1]);
  raw.close();
});

const recoverAt = async (peer, channel, position, more = {}) => {
  const raw = await connected(peer);
  const reply = await raw.ask({ subscribe: { channel, recover: true, ...position, ...more } });
  return { raw, reply, sub: reply.subscribe };
};

story('recovery: what was missed comes with the answer, from any peer', async () => {
  let epoch;
  for (const n of range(1, 20)) ({ epoch } = await publish(n1, 'rec', n));
  await caughtUp(cluster.peers, 'rec', 20);
  for (const peer of cluster.peers) {
    const { raw, sub } = await recoverAt(peer, 'rec', { epoch, offset: 15 });
    assert.equal(sub.was_recovering, true);
    assert.equal(sub.recovered, true);
    assert.equal(sub.offset, 15, 'the offset of the request is echoed');
    assert.deepEqual(
      sub.publications.map((pub) => [pub.offset, pub.data]),
      range(16, 20).map((n) => [n, n]),
    );
    raw.close();
  }
  const top = await recoverAt(n2, 'rec', { epoch, offset: 20 });
  assert.equal(top.sub.recovered, true);
  assert.equal(top.sub.publications, undefined);
  top.raw.close();
  const blank = await recoverAt(n2, 'rec', { epoch: '', offset: 18 });
  assert.equal(blank.sub.recovered, true, 'an empty epoch is not checked');
  blank.raw.close();
  const start = await recoverAt(n3, 'rec', { epoch });
  assert.deepEqual(
    start.sub.publications.map((pub) => pub.offset),
    range(1, 20),
  );
  start.raw.close();
});

story('recovery that is impossible says so, and never half', async () => {
  let epoch;
  let top = 0;
  const more = async () => ({ epoch, offset: top } = await publish(n1, 'few:rec', top));
  while (top < 10) await more();
  for (const [what, position] of [
    ['another epoch', () => ({ epoch: 'abc', offset: top - 1 })],
    ['too old', () => ({ epoch, offset: top - 5 })],
    ['from the future', () => ({ epoch, offset: top + 50 })],
  ]) {
    await caughtUp([n2], 'few:rec', top);
    const { raw, sub, reply } = await recoverAt(n2, 'few:rec', position());
    assert.ok(sub, `${what}: ${JSON.stringify(reply)}`);
    assert.equal(sub.was_recovering, true, what);
    assert.equal(sub.recovered, undefined, what);
    assert.equal(sub.publications, undefined, what);
    assert.equal(sub.offset, top, what);
    assert.equal(sub.epoch, epoch, what);
    assert.ok(sub.gap?.reason, `${what}: ${JSON.stringify(sub)}`);
    await more();
    await until(`${what}: live after it`, 5000, () => raw.pubs('few:rec').length === 1);
    assert.equal(raw.pubs('few:rec')[0].offset, top);
    raw.close();
    await caughtUp([n3], 'few:rec', top);
    const refused = await recoverAt(n3, 'few:rec', position(), { flag: 2 });
    assert.equal(code(refused.reply), 112, `${what}, with flag 2`);
    refused.raw.close();
  }
});

story('more than 300 missed messages still come complete and in order', async () => {
  let epoch;
  for (const n of range(1, 900)) ({ epoch } = await publish(cluster.peers[n % 3], 'long', n));
  const { raw, sub } = await recoverAt(n2, 'long', { epoch, offset: 10 });
  assert.equal(sub.recovered, true);
  await publish(n1, 'long', 901);
  const all = () => [...(sub.publications ?? []), ...raw.pubs('long')];
  await until('all of them', 10_000, () => all().length === 891);
  assert.deepEqual(
    all().map((pub) => [pub.offset, pub.data]),
    range(11, 901).map((n) => [n, n]),
  );
  raw.close();
});

story("recovery is the namespace's decision or the client's wish", async () => {
  const { epoch } = await publish(n1, 'asked:a', 1);
  await caughtUp([n1], 'asked:a', 1);
  const raw = await connected(n1);
  const plain = (await raw.ask({ subscribe: { channel: 'asked:a', recoverable: true } })).subscribe;
  assert.equal(plain.recoverable, true);
  assert.equal(plain.epoch, epoch);
  const none = (await raw.ask({ subscribe: { channel: 'plain:a', recoverable: true } })).subscribe;
  assert.equal(none.recoverable, undefined);
  await publish(n2, 'plain:a', { x: 1 });
  await until('it comes all the same', 5000, () => raw.pubs('plain:a').length === 1);
  assert.equal(raw.pubs('plain:a')[0].offset, undefined);
  raw.close();
});

story('joins and leaves are announced', async () => {
  const first = await connected(n1);
  await first.ask({ subscribe: { channel: 'joins:a', join_leave: true } });
  const second = await connected(n2);
  await second.ask({ subscribe: { channel: 'joins:a', join_leave: true } });
  const seen = (kind) =>
    first.pushes.some(
      (p) => p.channel === 'joins:a' && p[kind]?.info.client === second.result.client,
    );
  await until('the join of the second', 5000, () => seen('join'));
  second.close();
  await until('the leave of the second', 10_000, () => seen('leave'));
  first.close();
});

story('garbage of every kind harms nobody else', async () => {
  const good = await connected(n1);
  await good.ask({ subscribe: { channel: 'calm' } });
  for (let i = 0; i < 50; i++) {
    const raw = await connected(n1);
    raw.socket.on('error', () => {});
    raw.socket._socket.write(randomBytes(1 + ((i * 37) % 500)));
    raw.socket._socket.end();
    await within('it is closed', 15_000, raw.closed);
  }
  await publish(n2, 'calm', 'still here');
  await until('the good one goes on', 5000, () => good.pubs('calm').length === 1);
  good.close();
});

story('the official SDK: subscribe, publish, history, presence', async () => {
  const client = sdkClient(cluster.peers);
  const record = new Record(client, 'sdk');
  client.connect();
  await within('it connects', 5000, client.ready());
  await within('it is subscribed', 5000, record.sub.ready());
  await record.sub.publish({ by: 'sdk' });
  await publish(n3, 'sdk', { by: 'api' });
  await until('both come', 5000, () => record.got.length === 2);
  assert.deepEqual(record.faults, []);
  assert.deepEqual(record.got, [
    [1, { by: 'sdk' }],
    [2, { by: 'api' }],
  ]);
  const history = await record.sub.history({ limit: 10 });
  assert.equal(history.publications.length, 2);
  const presence = await record.sub.presence();
  assert.equal(Object.keys(presence.clients).length, 1);
  const stats = await record.sub.presenceStats();
  assert.equal(stats.numClients, 1);
  await assert.rejects(client.rpc('none', {}), { code: 108 });
  await assert.rejects(client.publish('nowhere:x', {}), { code: 102 });
  record.sub.unsubscribe();
  record.sub.subscribe();
  await within('it is subscribed again', 5000, record.sub.ready());
  assert.equal(record.starts.at(-1).wasRecovering, true);
  assert.equal(record.starts.at(-1).recovered, true);
  disconnectAll();
});
