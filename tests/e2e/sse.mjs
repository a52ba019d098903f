// Server-Sent Events with plain HTTP clients: live, resumed on another peer, told of a gap.
import assert from 'node:assert/strict';
import { call, caughtUp, eventStream, request } from './lib/http.mjs';
import { run, startCluster, story } from './lib/peers.mjs';
import { until, within } from './lib/wait.mjs';

const CONFIG = `
client: {insecure: true}
namespaces:
  - {name: "", history_size: 1000, history_ttl: 300s, force_recovery: true}
  - {name: few, history_size: 3, history_ttl: 300s, force_recovery: true}
  - {name: plain}
`;
const cluster = await startCluster({ config: CONFIG });
const [n1, n2, n3] = cluster.peers;
const publish = (peer, channel, data) => call(peer, 'publish', { channel, data });
const open = async (peer, channel, options) => {
  const stream = eventStream(`${peer.url}/events/${encodeURIComponent(channel)}`, options);
  await within('the stream opens', 5000, stream.opened);
  assert.equal(stream.status, 200, stream.text);
  assert.match(stream.headers['content-type'], /^text\/event-stream/);
  return stream;
};
const count = (stream, n) => until(`${n} events`, 10_000, () => stream.events.length >= n);

story('a stream is live, and its ids are positions', async () => {
  const stream = await open(n2, 'news');
  await until('the position is known', 5000, () => stream.id !== undefined);
  const { epoch } = await publish(n1, 'news', { text: 'hello' });
  await count(stream, 1);
  assert.deepEqual(stream.events, [
    { id: `${epoch}:1`, type: 'message', data: '{"text":"hello"}' },
  ]);
  stream.close();
});

story('a stream resumes on another peer with exactly what was missed', async () => {
  const stream = await open(n1, 'resume');
  await until('the position is known', 5000, () => stream.id !== undefined);
  for (let n = 1; n <= 3; n++) await publish(n2, 'resume', n);
  await count(stream, 3);
  stream.close();
  const lastEventId = stream.id;
  for (let n = 4; n <= 500; n++) await publish(cluster.peers[n % 3], 'resume', n);
  const back = await open(n3, 'resume', { lastEventId });
  await count(back, 497);
  await publish(n1, 'resume', 501);
  await count(back, 498);
  assert.deepEqual(
    back.events.map((event) => Number(event.data)),
    Array.from({ length: 498 }, (_, i) => i + 4),
  );
  assert.ok(back.events.every((event) => event.type === 'message'));
  back.close();
});

story('a stream that was cut off before its first message resumes too', async () => {
  const stream = await open(n1, 'quiet');
  await until('the position is known', 5000, () => stream.id !== undefined);
  stream.close();
  await publish(n2, 'quiet', 'missed');
  const back = await open(n2, 'quiet', { lastEventId: stream.id });
  await count(back, 1);
  assert.equal(back.events[0].data, '"missed"');
  back.close();
});

story(
  'a position that is too old, foreign or nonsense gets a gap event, then goes on',
  async () => {
    let epoch;
    for (let n = 1; n <= 10; n++) ({ epoch } = await publish(n1, 'few:a', n));
    await caughtUp([n2], 'few:a', 10);
    for (const [lastEventId, reason] of [
      [`${epoch}:2`, /expired|evicted|over_limit/],
      ['00ff:2', /epoch_changed/],
      ['nonsense', /./],
      [`${epoch}:99`, /./],
    ]) {
      const stream = await open(n2, 'few:a', { lastEventId });
      await count(stream, 1);
      const [first] = stream.events;
      assert.equal(first.type, 'gap', `${lastEventId}: ${stream.text}`);
      const { gap } = JSON.parse(first.data);
      assert.match(gap.reason, reason, `${lastEventId}: ${first.data}`);
      if (lastEventId === `${epoch}:2`) assert.equal(gap.from, 3);
      const { offset } = await publish(n3, 'few:a', 'next');
      await until('the next message comes', 5000, () =>
        stream.events.some((e) => e.id === `${epoch}:${offset}` && e.data === '"next"'),
      );
      stream.close();
    }
  },
);

story('a killed peer ends its streams; they resume elsewhere without loss', async () => {
  const stream = await open(n1, 'moved');
  await until('the position is known', 5000, () => stream.id !== undefined);
  await publish(n2, 'moved', 1);
  await count(stream, 1);
  await n1.kill();
  await within('the stream ends', 5000, stream.closed);
  await until('publishing goes on', 10_000, () => publish(n2, 'moved', 2));
  const back = await open(n2, 'moved', { lastEventId: stream.id });
  await count(back, 1);
  assert.deepEqual(
    back.events.map((event) => event.data),
    ['2'],
  );
  back.close();
  n1.start();
  await n1.ready();
});

story('curl reads a stream', async () => {
  const { epoch } = await publish(n1, 'curled', 1);
  const curl = run('curl', ['-sN', '-H', `Last-Event-ID: ${epoch}:0`, `${n2.url}/events/curled`]);
  await publish(n3, 'curled', 2);
  await until('curl has both', 10_000, () =>
    [1, 2].every((n) => curl.stdout.includes(`id: ${epoch}:${n}\ndata: ${n}\n\n`)),
  );
  process.kill(curl.pid);
  await curl.exited;
});

story('a channel without history streams, without ids', async () => {
  const stream = await open(n1, 'plain:a');
  await until('a message comes', 10_000, async () => {
    await publish(n2, 'plain:a', 'now');
    return stream.events.length > 0;
  });
  assert.equal(stream.events[0].id, undefined);
  stream.close();
});

story('names are percent-encoded; unknown namespaces and methods are refused', async () => {
  const name = 'räume/ü #1?&%';
  const stream = await open(n1, name);
  await until('the position is known', 5000, () => stream.id !== undefined);
  await publish(n2, name, 'x');
  await count(stream, 1);
  stream.close();
  assert.equal((await request(`${n1.url}/events/nowhere:a`)).status, 404);
  assert.equal((await request(`${n1.url}/events/news`, { method: 'POST', body: '' })).status, 405);
  assert.equal((await request(`${n1.url}/events/%zz`)).status, 404);
});
