// Subscribers with the official Centrifuge SDK, whose WebSocket class moves to the next server
// underneath; the first of them publishes too. The SDK cannot send an idempotency key: what it
// publishes is never retried, and counts only if it was acknowledged.
import { sdkClient } from '../e2e/lib/client.mjs';
import { sleep } from '../e2e/lib/wait.mjs';
import { listen, order, say, task } from './say.mjs';

const clients = [];
let stopping = false; // no more publishing
let moving = false; // the clients leave by themselves, to spread over the peers again

const peerOf = (ws) => task.peers.find((peer) => peer.ws === ws)?.name;

function subscribe(client, who, channel) {
  const sub = client.newSubscription(channel, {
    recoverable: true,
    minResubscribeDelay: 100,
    maxResubscribeDelay: 1000,
  });
  sub.on('subscribed', (ctx) =>
    say('sub', {
      who,
      channel,
      peer: peerOf(client.sockets.server),
      epoch: ctx.streamPosition?.epoch,
      offset: ctx.streamPosition?.offset,
      recovered: ctx.wasRecovering && ctx.recovered,
    }),
  );
  sub.on('publication', ({ offset, data }) => say('pub', { who, channel, offset, id: data.id }));
  sub.on('unsubscribed', ({ code, reason }) =>
    say('fault', { text: `${who}: unsubscribed from ${channel}: ${code} ${reason}` }),
  );
  sub.subscribe();
}

async function publish(client, rate) {
  const answers = new Set();
  for (let n = 0; !stopping; n++) {
    await sleep(1000 / rate);
    const channel = task.channels[n % task.channels.length];
    const id = `sdk-${n}`;
    if (client.state !== 'connected') continue;
    const answer = client
      .publish(channel, { id })
      .then(
        () => say('ack', { channel, id }),
        () => {}, // refused or unknown: then nothing was promised
      )
      .finally(() => answers.delete(answer));
    answers.add(answer);
  }
  await Promise.all(answers);
  say('end', {});
}

for (let i = 0; i < task.count; i++) {
  const who = `sdk${i + 1}`;
  const client = sdkClient(order(i));
  client.on('connecting', ({ code, reason }) => say('down', { who, why: `${code} ${reason}` }));
  client.on('disconnected', ({ code, reason }) => {
    if (moving) say('down', { who, why: 'goes home' });
    else say('fault', { text: `${who}: disconnected for good: ${code} ${reason}` });
  });
  for (let k = 0; k < task.each; k++)
    subscribe(client, who, task.channels[(i + k) % task.channels.length]);
  client.connect();
  if (i === 0) publish(client, task.rate);
  clients.push({ client, home: order(i)[0].ws });
}

listen({
  quiet() {
    stopping = true;
  },
  home() {
    moving = true;
    for (const { client, home } of clients) {
      if (client.state !== 'connected' || client.sockets.server === home) continue;
      client.disconnect();
      client.sockets.at = 0;
      client.connect();
    }
    moving = false;
  },
});
