// A plain HTTP client: what a backend in any language would do, with nothing of ours in it.
import http from 'node:http';
import { patience } from './env.mjs';
import { until } from './wait.mjs';

/** { status, headers, body (Buffer), text, json() }; rejects on connection errors and timeouts. */
export function request(url, { method = 'GET', headers = {}, body, agent, timeoutMs } = {}) {
  return new Promise((resolve, reject) => {
    const all = { ...headers };
    if (body !== undefined && !('Content-Length' in all) && !('Transfer-Encoding' in all))
      all['Content-Length'] = Buffer.byteLength(body);
    const req = http.request(url, { method, headers: all, agent }, (res) => {
      const parts = [];
      res.on('data', (part) => parts.push(part));
      res.on('error', reject);
      res.on('end', () => {
        const bytes = Buffer.concat(parts);
        const text = bytes.toString();
        resolve({
          status: res.statusCode,
          headers: res.headers,
          body: bytes,
          text,
          json: () => JSON.parse(text),
        });
      });
    });
    req.setTimeout(timeoutMs ?? patience(10_000), () =>
      req.destroy(new Error(`no answer from ${url}`)),
    );
    req.on('error', reject);
    req.end(body);
  });
}

/** POST /api/@method; @body is an object, or a string that goes as it is. */
export function api(peer, method, body, options = {}) {
  return request(`${peer.url}/api/${method}`, {
    ...options,
    method: 'POST',
    headers: { 'Content-Type': 'application/json', ...options.headers },
    body: typeof body === 'string' || Buffer.isBuffer(body) ? body : JSON.stringify(body),
  });
}

/** The result of an API call that must succeed. */
export async function call(peer, method, body, options) {
  const res = await api(peer, method, body, options);
  const answer = res.status === 200 ? res.json() : undefined;
  if (answer?.result === undefined)
    throw new Error(`${method} at ${peer.name}: HTTP ${res.status} ${res.text}`);
  return answer.result;
}

/**
 * Waits until @peers hold @channel up to @offset: an acknowledged message is on a majority of the
 * peers, and any one of them may be a moment behind.
 */
export async function caughtUp(peers, channel, offset, options) {
  for (const peer of peers)
    await until(`${peer.name} has ${channel} up to ${offset}`, 5000, async () => {
      const top = await call(peer, 'history', { channel }, options);
      return top.offset >= offset;
    });
}

/** An open Server-Sent Events stream: .events grows, .closed resolves when the server ends it. */
export function eventStream(url, { lastEventId, headers = {} } = {}) {
  const all = { Accept: 'text/event-stream', ...headers };
  if (lastEventId !== undefined) all['Last-Event-ID'] = lastEventId;
  const stream = { events: [], id: undefined, comments: 0, status: undefined, text: '' };
  stream.opened = new Promise((resolve, reject) => {
    stream.closed = new Promise((closed) => {
      const req = http.get(url, { headers: all, agent: false }, (res) => {
        stream.status = res.statusCode;
        stream.headers = res.headers;
        resolve(stream);
        let rest = '';
        res.setEncoding('utf8');
        res.on('data', (part) => {
          stream.text += part;
          const blocks = (rest + part).split('\n\n');
          rest = blocks.pop();
          for (const block of blocks) takeBlock(stream, block);
        });
        res.on('error', () => {});
        res.on('close', closed);
      });
      req.on('error', (error) => {
        reject(error);
        closed();
      });
      stream.close = () => req.destroy();
    });
  });
  stream.opened.catch(() => {});
  return stream;
}

function takeBlock(stream, block) {
  let type = 'message';
  let data;
  for (const line of block.split('\n')) {
    if (line.startsWith(':')) stream.comments++;
    if (line.startsWith('id:')) stream.id = line.slice(3).trimStart();
    if (line.startsWith('event:')) type = line.slice(6).trimStart();
    if (line.startsWith('data:'))
      data = (data === undefined ? '' : `${data}\n`) + line.slice(5).replace(/^ /, '');
  }
  if (data !== undefined) stream.events.push({ id: stream.id, type, data });
}
