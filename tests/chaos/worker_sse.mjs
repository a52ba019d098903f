// Subscribers with event streams over node's own http: one channel each, resumed at the next peer by
// Last-Event-ID. As every channel is busy, silence means that the peer is gone.
import http from 'node:http';
import { sleep } from '../e2e/lib/wait.mjs';
import { listen, order, say, task } from './say.mjs';

const SILENCE_MS = 5000;
const AGAIN_MS = 50;

class Stream {
  constructor(i) {
    this.who = `sse${i + 1}`;
    this.channel = task.channels[i % task.channels.length];
    this.peers = order(i);
    this.lastId = undefined;
    this.turn = 0;
  }

  async run() {
    for (;;) {
      await this.#once(this.peers[this.turn++ % this.peers.length]);
      await sleep(AGAIN_MS);
    }
  }

  /** Leaves by itself, to spread over the peers again. */
  home() {
    if (!this.begun || this.at === this.peers[0]) return;
    this.turn = 0;
    this.req.destroy();
  }

  /** One connection; resolves when it has ended. */
  #once(peer) {
    return new Promise((resolve) => {
      const headers = { Accept: 'text/event-stream' };
      this.resumed = this.lastId !== undefined;
      if (this.resumed) headers['Last-Event-ID'] = this.lastId;
      this.begun = false;
      const url = `${peer.url}/events/${this.channel}`;
      const req = http.get(url, { headers, agent: false }, (res) => {
        let rest = '';
        res.setEncoding('utf8');
        res.on('data', (part) => {
          const blocks = (rest + part).split('\n\n');
          rest = blocks.pop();
          if (res.statusCode === 200) for (const block of blocks) this.#block(block, peer);
        });
        res.on('error', () => {});
        res.on('close', () => this.#down(resolve, res.statusCode));
      });
      this.req = req;
      this.at = peer;
      req.setTimeout(SILENCE_MS, () => req.destroy());
      req.on('error', (error) => this.#down(resolve, error.message));
    });
  }

  #down(resolve, why) {
    if (this.begun) say('down', { who: this.who, why: String(why) });
    this.begun = false;
    resolve();
  }

  #block(block, peer) {
    const { who, channel } = this;
    let type = 'message';
    let id;
    let data;
    for (const line of block.split('\n')) {
      if (line.startsWith('id: ')) id = line.slice(4);
      if (line.startsWith('event: ')) type = line.slice(7);
      if (line.startsWith('data: ')) data = line.slice(6);
    }
    if (id === undefined) return; // a comment
    const colon = id.lastIndexOf(':');
    const epoch = id.slice(0, colon);
    const offset = Number(id.slice(colon + 1));
    if (!this.begun) {
      // The first block after an opening says where the stream stands: an id alone, or a gap.
      this.begun = true;
      const recovered = this.resumed && type !== 'gap';
      const at = data !== undefined && type === 'message' ? offset - 1 : offset;
      say('sub', { who, channel, peer: peer.name, epoch, offset: at, recovered });
    } else if (type === 'gap') {
      say('sub', { who, channel, peer: peer.name, epoch, offset, recovered: false });
    }
    this.lastId = id;
    if (data !== undefined && type === 'message')
      say('pub', { who, channel, epoch, offset, id: JSON.parse(data).id });
  }
}

const streams = Array.from({ length: task.count }, (_, i) => new Stream(i));
for (const stream of streams) stream.run();
listen({
  home() {
    for (const stream of streams) stream.home();
  },
});
