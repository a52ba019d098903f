// Tokens and permissions: who may connect, subscribe, publish and read, without client.insecure.
import assert from 'node:assert/strict';
import { call, eventStream, request } from './lib/http.mjs';
import { startCluster, story } from './lib/peers.mjs';
import { Raw, connected, inSeconds, jwt } from './lib/raw.mjs';
import { until, within } from './lib/wait.mjs';

const SECRET = 'the secret of the tokens';
const KEY = 'api';
const CONFIG = `
client: {insecure: false, allowed_origins: ["https://app.example"]}
api: {key: ${KEY}}
token: {hmac_secret: "${SECRET}"}
namespaces:
  - {name: "", history_size: 10, history_ttl: 300s, force_recovery: true, presence: true}
  - {name: open, history_size: 10, history_ttl: 300s, force_recovery: true,
     allow_subscribe_for_client: true, allow_publish_for_client: true,
     allow_history_for_client: true}
  - {name: talk, allow_subscribe_for_client: true, allow_publish_for_subscriber: true}
`;
const cluster = await startCluster({ config: CONFIG });
const [n1] = cluster.peers;
const headers = { 'X-API-Key': KEY };
const code = (reply) => reply.error?.code;
const token = (claims) => jwt(SECRET, { sub: 'anna', exp: inSeconds(600), ...claims });

async function refused(connect) {
  const raw = new Raw(n1);
  await raw.opened;
  raw.batch({ connect });
  return raw.end();
}

story('only a good connection token connects', async () => {
  assert.equal((await refused({})).code, 3501);
  const bad = {
    'another secret': jwt('other', { sub: 'anna' }),
    'alg none': jwt(SECRET, { sub: 'anna' }, { alg: 'none' }),
    'another alg': jwt(SECRET, { sub: 'anna' }, { alg: 'RS256' }),
    'a subscription token': token({ channel: 'a' }),
    'no token at all': 'x.y.z',
    'a number as user': jwt(SECRET, { sub: 1 }),
  };
  for (const [what, text] of Object.entries(bad))
    assert.deepEqual(await refused({ token: text }), { code: 3500, reason: 'invalid token' }, what);
  for (const claims of [{ exp: inSeconds(-10) }, { nbf: inSeconds(100) }]) {
    const raw = new Raw(n1);
    await raw.opened;
    assert.equal(code(await raw.ask({ connect: { token: token(claims) } })), 109);
    raw.close();
  }
  const raw = await connected(n1, { token: token() });
  assert.equal(raw.result.expires, true);
  assert.ok(raw.result.ttl > 500 && raw.result.ttl <= 600, `ttl ${raw.result.ttl}`);
  raw.close();
});

story('permissions follow the namespace', async () => {
  const raw = await connected(n1, { token: token() });
  assert.equal(code(await raw.ask({ subscribe: { channel: 'closed' } })), 103);
  assert.equal(code(await raw.ask({ publish: { channel: 'closed', data: 1 } })), 103);
  assert.equal(code(await raw.ask({ history: { channel: 'closed', limit: 1 } })), 103);
  assert.equal(code(await raw.ask({ presence: { channel: 'closed' } })), 103);
  assert.ok((await raw.ask({ subscribe: { channel: 'open:a' } })).subscribe);
  assert.deepEqual((await raw.ask({ publish: { channel: 'open:a', data: 1 } })).publish, {});
  assert.ok((await raw.ask({ history: { channel: 'open:a', limit: 1 } })).history);
  assert.equal(code(await raw.ask({ publish: { channel: 'talk:a', data: 1 } })), 103);
  await raw.ask({ subscribe: { channel: 'talk:a' } });
  assert.deepEqual((await raw.ask({ publish: { channel: 'talk:a', data: 1 } })).publish, {});
  await until('both come', 5000, () => raw.pushes.filter((p) => p.pub).length === 2);
  for (const push of raw.pushes) assert.equal(push.pub.info.user, 'anna');
  const anonymous = await connected(n1, { token: token({ sub: undefined }) });
  assert.equal(code(await anonymous.ask({ subscribe: { channel: 'open:a' } })), 103);
  raw.close();
  anonymous.close();
});

story('a subscription token grants its channel to its user', async () => {
  const raw = await connected(n1, { token: token() });
  const ok = await raw.ask({
    subscribe: { channel: '$mine', token: token({ channel: '$mine', info: { nick: 'a' } }) },
  });
  assert.ok(ok.subscribe, JSON.stringify(ok));
  assert.equal(ok.subscribe.expires, true);
  const expired = token({ channel: 'late', exp: inSeconds(-10) });
  assert.equal(code(await raw.ask({ subscribe: { channel: 'late', token: expired } })), 109);
  const forged = jwt('other', { sub: 'anna', channel: 'forged' });
  assert.equal(code(await raw.ask({ subscribe: { channel: 'forged', token: forged } })), 103);
  raw.batch({ subscribe: { channel: 'b', token: token({ channel: 'c' }) } });
  assert.equal((await raw.end()).code, 3500);
  const other = await connected(n1, { token: token() });
  other.batch({ subscribe: { channel: 'b', token: token({ sub: 'bert', channel: 'b' }) } });
  assert.equal((await other.end()).code, 3500);
});

story('tokens are renewed in place', async () => {
  const raw = await connected(n1, { token: token() });
  const { refresh } = await raw.ask({ refresh: { token: token({ exp: inSeconds(9000) }) } });
  assert.equal(refresh.expires, true);
  assert.ok(refresh.ttl > 8000);
  await raw.ask({ subscribe: { channel: '$s', token: token({ channel: '$s' }) } });
  const again = await raw.ask({
    sub_refresh: { channel: '$s', token: token({ channel: '$s', exp: inSeconds(9000) }) },
  });
  assert.ok(again.sub_refresh.ttl > 8000);
  assert.equal(code(await raw.ask({ sub_refresh: { channel: 'x', token: token() } })), 103);
  raw.batch({ refresh: { token: token({ sub: 'bert' }) } });
  assert.equal((await raw.end()).code, 3500);
  const late = await connected(n1, { token: token() });
  late.batch({ refresh: { token: token({ exp: inSeconds(-10) }) } });
  assert.equal((await late.end()).code, 3005);
});

story('event streams ask for tokens too', async () => {
  const status = async (path, more) => (await request(`${n1.url}/events/${path}`, more)).status;
  assert.equal(await status('open:a'), 401);
  assert.equal(await status('open:a?token=x.y.z'), 401);
  assert.equal(await status(`closed?token=${token()}`), 403);
  assert.equal(await status(`closed?token=${token({ channel: 'other' })}`), 403);
  for (const [path, more] of [
    [`open:a?token=${token()}`, {}],
    ['open:a', { headers: { Authorization: `Bearer ${token()}` } }],
    [`closed?token=${token({ channel: 'closed' })}`, {}],
  ]) {
    const stream = eventStream(`${n1.url}/events/${path}`, more);
    await within('it opens', 5000, stream.opened);
    assert.equal(stream.status, 200, path);
    stream.close();
  }
});

story('browsers of other origins are refused, in WebSocket and streams', async () => {
  const open = (origin) => connected(n1, { token: token() }, { headers: { Origin: origin } });
  (await open('https://app.example')).close();
  (await open(n1.url)).close();
  await assert.rejects(open('https://evil.example'), /HTTP 403/);
  const res = await request(`${n1.url}/events/open:a?token=${token()}`, {
    headers: { Origin: 'https://evil.example' },
  });
  assert.equal(res.status, 403);
  const stream = eventStream(`${n1.url}/events/open:a?token=${token()}`, {
    headers: { Origin: 'https://app.example' },
  });
  await stream.opened;
  assert.equal(stream.headers['access-control-allow-origin'], 'https://app.example');
  stream.close();
});

story('without a key in the configuration the API stays shut', async () => {
  assert.equal((await call(n1, 'info', {}, { headers })).nodes.length, 3);
  const shut = await startCluster({ peers: 1, config: 'client: {insecure: false}\n' });
  const res = await request(`${shut.peers[0].url}/api/info`, {
    method: 'POST',
    body: '{}',
    headers,
  });
  assert.equal(res.status, 401);
  await shut.stop();
});
