// The HTTP server API as a backend meets it: shapes, refusals, payloads byte for byte, and an
// idempotency key that holds across peers.
import assert from 'node:assert/strict';
import net from 'node:net';
import { eventStream, api, call, caughtUp, request } from './lib/http.mjs';
import { startCluster, story } from './lib/peers.mjs';
import { sdkClient, Record, disconnectAll } from './lib/client.mjs';
import { until, within } from './lib/wait.mjs';

const KEY = 'a secret of the backend';
const CONFIG = `
client: {insecure: true}
api: {key: "${KEY}"}
namespaces:
  - {name: "", history_size: 100, history_ttl: 300s, force_recovery: true, presence: true}
  - {name: plain}
  - {name: few, history_size: 3, history_ttl: 300s}
  - {name: brief, history_size: 10, history_ttl: 1s}
`;
const headers = { 'X-API-Key': KEY };
const cluster = await startCluster({ config: CONFIG });
const [n1, n2, n3] = cluster.peers;
const post = (peer, method, body, more = {}) =>
  api(peer, method, body, { headers: { ...headers, ...more } });
const result = (peer, method, body) => call(peer, method, body, { headers });
const caught = (peer, channel, offset) => caughtUp([peer], channel, offset, { headers });

/** All the bytes that the peer sends in answer to raw @text, until it closes or says enough. */
function raw(peer, text, enough = () => false) {
  const answer = new Promise((resolve, reject) => {
    const socket = net.connect(peer.ports.client, '127.0.0.1', () => socket.write(text));
    let got = '';
    socket.setEncoding('latin1');
    socket.on('data', (part) => {
      got += part;
      if (enough(got)) socket.end();
    });
    socket.on('close', () => resolve(got));
    socket.on('error', (error) => (got === '' ? reject(error) : resolve(got)));
  });
  return within(`an answer to ${JSON.stringify(text.slice(0, 40))}`, 10_000, answer);
}

story('publish answers with the position, and history has it on every peer', async () => {
  const first = await result(n1, 'publish', { channel: 'news', data: { n: 1 } });
  const second = await result(n2, 'publish', { channel: 'news', data: { n: 2 } });
  assert.deepEqual([first.offset, second.offset], [1, 2]);
  assert.match(first.epoch, /./);
  assert.equal(first.epoch, second.epoch);
  for (const peer of cluster.peers) {
    await until(`${peer.name} has both`, 5000, async () => {
      const got = await result(peer, 'history', { channel: 'news', limit: 10 });
      return got.publications.length === 2 && got;
    }).then((got) => {
      assert.equal(got.epoch, first.epoch);
      assert.equal(got.offset, 2);
      assert.deepEqual(
        got.publications.map((pub) => [pub.offset, pub.data]),
        [
          [1, { n: 1 }],
          [2, { n: 2 }],
        ],
      );
    });
  }
});

story('without history there is no position', async () => {
  assert.deepEqual(await result(n1, 'publish', { channel: 'plain:a', data: 1 }), {});
  const res = await post(n1, 'history', { channel: 'plain:a', limit: 1 });
  assert.equal(res.json().error.code, 108);
});

story('a wrong or missing API key gets 401 and no body', async () => {
  const body = { channel: 'news', data: 1 };
  for (const bad of [{}, { 'X-API-Key': '' }, { 'X-API-Key': `${KEY}x` }, { 'X-API-Key': 'a' }]) {
    const res = await api(n1, 'publish', body, { headers: bad });
    assert.equal(res.status, 401, JSON.stringify(bad));
    assert.equal(res.text, '');
  }
  const authorization = await api(n1, 'info', {}, { headers: { Authorization: `apikey ${KEY}` } });
  assert.equal(authorization.status, 200);
  const query = await request(`${n1.url}/api/info?api_key=${encodeURIComponent(KEY)}`, {
    method: 'POST',
    body: '{}',
  });
  assert.equal(query.status, 200);
});

story('what is not a JSON object gets 400', async () => {
  for (const body of [
    '{',
    'x',
    '[]',
    '"a"',
    '1',
    '{"channel":"a","data":1}}',
    '{"channel":1}',
    '{,}',
    '\xff',
  ])
    assert.equal((await post(n1, 'publish', body)).status, 400, body);
});

story('what is readable but refused gets 200 with an error object', async () => {
  const table = [
    ['publish', { channel: 'nowhere:a', data: 1 }, 102],
    ['publish', { channel: '', data: 1 }, 107],
    ['publish', { data: 1 }, 107],
    ['publish', { channel: 'a' }, 107],
    ['publish', { channel: 'c'.repeat(256), data: 1 }, 107],
    ['publish', { channel: 'a', data: 'x'.repeat(65 * 1024) }, 107],
    ['publish', { channel: 'a', data: 1, idempotency_key: 'k'.repeat(129) }, 107],
    ['broadcast', { channels: [], data: 1 }, 107],
    ['history', { channel: 'nowhere:a' }, 102],
    ['presence', { channel: 'plain:a' }, 108],
    ['presence_stats', { channel: 'plain:a' }, 108],
  ];
  for (const [method, body, code] of table) {
    const res = await post(n1, method, body);
    const what = `${method} ${JSON.stringify(body).slice(0, 60)}`;
    assert.equal(res.status, 200, what);
    assert.equal(res.json().error.code, code, `${what}: ${res.text}`);
    assert.match(res.json().error.message, /./, what);
  }
});

story('error mode transport puts the code into the HTTP status', async () => {
  const mode = { 'X-Centrifugo-Error-Mode': 'transport' };
  for (const [method, body, status, code] of [
    ['publish', { channel: 'nowhere:a', data: 1 }, 404, 102],
    ['publish', { channel: 'a' }, 400, 107],
    ['history', { channel: 'plain:a' }, 400, 108],
    ['history', { channel: 'news', limit: 1, since: { offset: 0, epoch: 'zz' } }, 416, 112],
  ]) {
    const res = await post(n1, method, body, mode);
    assert.equal(res.status, status, `${method}: ${res.text}`);
    assert.equal(res.json().code, code);
  }
  assert.equal((await post(n1, 'publish', { channel: 'news', data: 3 }, mode)).status, 200);
});

story('other methods, unknown paths and oversized requests are told apart', async () => {
  assert.equal((await request(`${n1.url}/api/publish`)).status, 405);
  assert.equal((await request(`${n1.url}/api/publish`, { method: 'PUT', body: '{}' })).status, 405);
  assert.equal((await request(`${n1.url}/nothing`)).status, 404);
  assert.equal((await post(n1, 'nothing', {})).status, 404);
  const head = 'POST /api/publish HTTP/1.1\r\nHost: a\r\n';
  assert.match(await raw(n1, `${head}Content-Length: 99999999\r\n\r\n`), /^HTTP\/1\.1 413 /);
  assert.match(await raw(n1, `${head}X: ${'h'.repeat(20_000)}\r\n\r\n`), /^HTTP\/1\.1 431 /);
  const many = Array.from({ length: 100 }, (_, i) => `X-${i}: 1\r\n`).join('');
  assert.match(await raw(n1, `${head}${many}\r\n`), /^HTTP\/1\.1 431 /);
  assert.match(await raw(n1, 'GET / HTTP/3.9\r\n\r\n'), /^HTTP\/1\.1 505 /);
  assert.match(await raw(n1, 'gibberish\r\n\r\n'), /^HTTP\/1\.1 (400|501) /);
  assert.match(
    await raw(n1, `${head}Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}`),
    /^HTTP\/1\.1 400 /,
  );
});

story('requests on one connection are answered in order, also when pipelined', async () => {
  const one = (n) => {
    const body = `{"channel":"pipe","data":${n}}`;
    return (
      `POST /api/publish HTTP/1.1\r\nHost: a\r\nX-API-Key: ${KEY}\r\n` +
      `Content-Length: ${body.length}\r\n\r\n${body}`
    );
  };
  const count = 20;
  const text = Array.from({ length: count }, (_, i) => one(i)).join('');
  const got = await raw(n2, text, (all) => all.split('"offset"').length > count);
  const offsets = [...got.matchAll(/"offset":(\d+)/g)].map((m) => Number(m[1]));
  assert.deepEqual(
    offsets,
    Array.from({ length: count }, (_, i) => i + 1),
  );
});

story('payloads pass byte for byte', async () => {
  const payloads = [
    '12345678901234567890',
    '1.10',
    '-0.0e-7',
    '1E400',
    'null',
    'true',
    '""',
    '"\\u00e9\\u4e2d\\ud83d\\ude00 é中😀 \\/ \\u0000 \\b\\f\\n\\r\\t\\\\\\""',
    '{"b":1,"a":{"b":[1.0,2.50,"x"]},"b":2}',
    '{ "spaced" : [ 1 , 2 ] }',
    '[]',
    `"${'€'.repeat(20_000)}"`,
  ];
  const stream = eventStream(`${n3.url}/events/bytes`);
  await within('the stream opens', 5000, stream.opened);
  await until(
    'the stream has its position',
    5000,
    () => stream.id !== undefined || stream.text.includes('id:'),
  );
  for (const [i, payload] of payloads.entries()) {
    const peer = cluster.peers[i % 3];
    const res = await post(peer, 'publish', `{"channel":"bytes","data":${payload}}`);
    assert.equal(res.json().result?.offset, i + 1, `${payload.slice(0, 40)}: ${res.text}`);
  }
  await until('the stream has all', 5000, () => stream.events.length === payloads.length);
  assert.deepEqual(
    stream.events.map((event) => event.data),
    payloads,
  );
  stream.close();
  // n1 may be a moment behind the majority that acknowledged the last one.
  const { text } = await until('n1 has the last one', 5000, async () => {
    const res = await post(n1, 'history', { channel: 'bytes', limit: -1 });
    return res.json().result.offset === payloads.length && res;
  });
  for (const payload of payloads)
    assert.ok(text.includes(`"data":${payload}`), payload.slice(0, 40));
});

story('newlines inside a payload do not reach the wire', async () => {
  await post(n1, 'publish', '{"channel":"lines","data":{\r\n "a":\n 1\r}}');
  await caught(n2, 'lines', 1);
  const res = await post(n2, 'history', { channel: 'lines', limit: 1 });
  assert.ok(!/[\r\n]/.test(res.text.trimEnd()), res.text);
  assert.deepEqual(res.json().result.publications[0].data, { a: 1 });
});

story('an idempotency key takes effect once, through whatever peer', async () => {
  const body = (n) => ({ channel: 'once', data: n, idempotency_key: 'order-4711' });
  const answers = [];
  for (let n = 0; n < 9; n++) answers.push(await result(cluster.peers[n % 3], 'publish', body(n)));
  for (const answer of answers) assert.deepEqual(answer, answers[0]);
  const racing = await Promise.all(
    Array.from({ length: 30 }, (_, n) =>
      result(cluster.peers[n % 3], 'publish', {
        channel: 'once',
        data: n,
        idempotency_key: 'race',
      }),
    ),
  );
  for (const answer of racing) assert.deepEqual(answer, racing[0]);
  await caught(n3, 'once', 2);
  const { publications } = await result(n3, 'history', { channel: 'once', limit: -1 });
  assert.equal(publications.length, 2);
  assert.equal(publications[0].data, 0);
  const other = await result(n1, 'publish', { ...body(1), channel: 'once-more' });
  assert.equal(other.offset, 1, 'a key belongs to one channel');
});

story('broadcast publishes into each channel and answers in their order', async () => {
  const { responses } = await result(n2, 'broadcast', {
    channels: ['b-1', 'nowhere:b', 'b-2', 'b-1', 'plain:b'],
    data: { all: true },
  });
  assert.equal(responses.length, 5);
  assert.equal(responses[0].result.offset, 1);
  assert.equal(responses[1].error.code, 102);
  assert.equal(responses[2].result.offset, 1);
  assert.equal(responses[3].result.offset, 2);
  assert.deepEqual(responses[4].result, {});
});

story('history: limits, since, reverse, wrong epoch, trimming', async () => {
  let epoch;
  for (let n = 1; n <= 10; n++)
    ({ epoch } = await result(n1, 'publish', { channel: 'h', data: n }));
  await caught(n1, 'h', 10);
  const offsets = async (more) => {
    const got = await result(n1, 'history', { channel: 'h', ...more });
    assert.equal(got.offset, 10);
    assert.equal(got.epoch, epoch);
    return got.publications.map((pub) => pub.offset);
  };
  assert.deepEqual(await offsets({}), []);
  assert.deepEqual(await offsets({ limit: 3 }), [1, 2, 3]);
  assert.deepEqual(await offsets({ limit: 3, since: { offset: 5, epoch } }), [6, 7, 8]);
  assert.deepEqual(await offsets({ limit: 3, reverse: true }), [10, 9, 8]);
  assert.deepEqual(
    await offsets({ limit: -1, reverse: true, since: { offset: 4, epoch } }),
    [3, 2, 1],
  );
  assert.deepEqual(await offsets({ limit: -1, since: { offset: 10, epoch } }), []);
  assert.equal((await offsets({ limit: -1 })).length, 10);
  const wrong = await post(n1, 'history', {
    channel: 'h',
    limit: 1,
    since: { offset: 1, epoch: 'zz' },
  });
  assert.equal(wrong.json().error.code, 112);
  const zero = await post(n1, 'history', {
    channel: 'h',
    limit: 1,
    reverse: true,
    since: { offset: 0, epoch },
  });
  assert.equal(zero.json().error.code, 107);
  for (let n = 1; n <= 5; n++) await result(n1, 'publish', { channel: 'few:h', data: n });
  await caught(n1, 'few:h', 5);
  const few = await result(n1, 'history', {
    channel: 'few:h',
    limit: -1,
    since: { offset: 1, epoch: '' },
  });
  assert.deepEqual(
    few.publications.map((pub) => pub.offset),
    [3, 4, 5],
  );
});

story('messages leave the history when their time is over, positions stay', async () => {
  const { epoch } = await result(n1, 'publish', { channel: 'brief:a', data: 1 });
  await until('it has expired', 15_000, async () => {
    const got = await result(n2, 'history', { channel: 'brief:a', limit: -1 });
    return got.publications.length === 0 && got.offset === 1 && got.epoch === epoch;
  });
  assert.equal((await result(n3, 'publish', { channel: 'brief:a', data: 2 })).offset, 2);
});

story('tags and publisher times come with the message', async () => {
  const before = Date.now();
  await result(n1, 'publish', { channel: 'tagged', data: 1, tags: { kind: 'a', lang: 'dé' } });
  await caught(n2, 'tagged', 1);
  const [pub] = (await result(n2, 'history', { channel: 'tagged', limit: 1 })).publications;
  assert.deepEqual(pub.tags, { kind: 'a', lang: 'dé' });
  assert.ok(pub.time >= before - 1000 && pub.time <= Date.now() + 1000, `time ${pub.time}`);
});

story('presence counts clients on all peers', async () => {
  const clients = cluster.peers.map((peer) => sdkClient([peer]));
  const records = clients.map((client) => new Record(client, 'room'));
  for (const client of clients) client.connect();
  await until('all are subscribed', 10_000, () => records.every((r) => r.subscribed));
  for (const peer of cluster.peers) {
    await until(`${peer.name} counts three`, 10_000, async () => {
      const stats = await result(peer, 'presence_stats', { channel: 'room' });
      return stats.num_clients === 3;
    });
    const { presence } = await result(peer, 'presence', { channel: 'room' });
    assert.equal(Object.keys(presence).length, 3);
    for (const [id, info] of Object.entries(presence)) assert.equal(info.client, id);
  }
  disconnectAll();
  await until('all have gone', 20_000, async () => {
    const stats = await result(n1, 'presence_stats', { channel: 'room' });
    return stats.num_clients === 0;
  });
});

story('info lists the peers', async () => {
  const { nodes } = await result(n2, 'info', {});
  assert.deepEqual(nodes.map((node) => node.name).sort(), ['n1', 'n2', 'n3']);
  const own = nodes.find((node) => node.name === 'n2');
  assert.ok(own.uptime >= 0);
  assert.match(own.version, /\d/);
});

story('pages for operators', async () => {
  assert.equal((await request(`${n1.url}/healthz`)).status, 200);
  const ready = await n1.readyz();
  assert.equal(ready.json().ready, true);
  const metrics = await request(`${n1.url}/metrics`);
  assert.match(metrics.headers['content-type'], /^text\/plain/);
  assert.match(metrics.text, /^dunlin_ready 1$/m);
  const names = [...metrics.text.matchAll(/^# TYPE (\S+)/gm)].map((m) => m[1]);
  for (const name of names) assert.match(metrics.text, new RegExp(`^${name}(\\{| )`, 'm'));
  const page = await request(`${n1.url}/`);
  assert.match(page.headers['content-type'], /^text\/html/);
  assert.match(page.text, /n1/);
});
