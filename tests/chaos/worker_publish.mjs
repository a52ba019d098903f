// A backend that publishes over HTTP through all peers and does not give up: each message has an
// idempotency key, and is retried through the next peer until one acknowledges it.
import http from 'node:http';
import { api } from '../e2e/lib/http.mjs';
import { sleep } from '../e2e/lib/wait.mjs';
import { now } from './clock.mjs';
import { listen, say, task } from './say.mjs';

const ANSWER_MS = 1500; // then another peer is asked
const WAITING_MAX = 600; // messages without an answer; beyond it the rate falls
const GIVE_UP_MS = 90_000;
const RETRY_CODES = new Set([100, 111]); // temporary error, overloaded

const agents = task.peers.map(() => new http.Agent({ keepAlive: true, maxSockets: 256 }));
const waiting = new Set();
let stopping = false;

async function attempt(k, body) {
  try {
    const res = await api(task.peers[k], 'publish', body, {
      agent: agents[k],
      headers: task.headers,
      timeoutMs: ANSWER_MS,
    });
    return res.json();
  } catch {
    return {}; // the outcome is unknown: ask again, with the same key
  }
}

async function send(n) {
  const channel = task.channels[n % task.channels.length];
  const id = `m${n}`;
  const body = JSON.stringify({ channel, data: { id }, idempotency_key: `key-${id}` });
  const begun = now();
  for (let turn = n; ; turn++) {
    const { result, error } = await attempt(turn % task.peers.length, body);
    if (result !== undefined) {
      say('ack', { channel, id, offset: result.offset, epoch: result.epoch });
      break;
    }
    if (error !== undefined && !RETRY_CODES.has(error.code)) {
      say('fault', { text: `publishing ${id}: ${JSON.stringify(error)}` });
      break;
    }
    if (now() - begun > GIVE_UP_MS) {
      say('fault', { text: `publishing ${id}: not acknowledged within ${GIVE_UP_MS} ms` });
      break;
    }
    if (turn - n >= task.peers.length - 1) await sleep(20);
  }
}

function begin(n) {
  const sending = send(n).finally(() => waiting.delete(sending));
  waiting.add(sending);
}

async function run() {
  const begun = now();
  let sent = 0;
  let behind = 0; // what the limit made us leave out
  while (!stopping) {
    await sleep(5);
    const due = ((now() - begun) / 1000) * task.rate - behind;
    while (sent < due && waiting.size < WAITING_MAX) begin(sent++);
    if (sent < due) behind += due - sent;
  }
  await Promise.all(waiting);
  say('end', {});
}

listen({
  quiet() {
    stopping = true;
  },
});
run();
