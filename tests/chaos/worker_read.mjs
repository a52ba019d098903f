// Readers: what an application does that asks for history over HTTP, at another peer each time. What
// a reader has seen once must be there whenever, and wherever, it looks again.
import http from 'node:http';
import { api } from '../e2e/lib/http.mjs';
import { sleep } from '../e2e/lib/wait.mjs';
import { listen, say, task } from './say.mjs';

const ANSWER_MS = 1000;
const AGAIN = 10; // messages seen before that are read again
const LIMIT = 60;

let stopping = false;
const agents = task.peers.map(() => new http.Agent({ keepAlive: true }));

async function ask(k, body) {
  try {
    const { headers } = task;
    const res = await api(task.peers[k], 'history', body, {
      agent: agents[k],
      headers,
      timeoutMs: ANSWER_MS,
    });
    return res.json();
  } catch {
    return {};
  }
}

async function reader(i) {
  const who = `read${i + 1}`;
  const seen = new Map(); // channel -> { epoch, offset }
  for (let n = i; !stopping; n++) {
    await sleep(task.everyMs);
    // The numbers of channels and peers have no common divisor, so every pair has its turn.
    const channel = task.channels[n % task.channels.length];
    const k = n % task.peers.length;
    const top = seen.get(channel);
    const after = Math.max(0, (top?.offset ?? 0) - AGAIN);
    const since = top === undefined ? undefined : { epoch: top.epoch, offset: after };
    const limit = since === undefined ? 0 : LIMIT; // 0: only where the channel ends
    const { result, error } = await ask(k, { channel, limit, since });
    if (result === undefined) {
      if (error?.code === 112) seen.delete(channel); // another epoch
      else if (error !== undefined && error.code !== 100)
        say('fault', { text: `${who} at ${task.peers[k].name}: ${JSON.stringify(error)}` });
      continue;
    }
    const { epoch, offset, publications = [] } = result;
    const pubs = publications.map((pub) => ({ offset: pub.offset, id: pub.data.id }));
    say('read', { who, channel, peer: task.peers[k].name, epoch, offset, after, limit, pubs });
    if (top?.epoch !== epoch || offset > top.offset) seen.set(channel, { epoch, offset });
  }
}

listen({
  quiet() {
    stopping = true;
  },
});
await Promise.all(Array.from({ length: task.count }, (_, i) => reader(i)));
say('end', {});
