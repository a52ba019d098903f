// A raw WebSocket that speaks the Centrifuge protocol line by line, for what no SDK would ever
// send.
import { createHmac } from 'node:crypto';
import WebSocket from 'ws';
import { until, within } from './wait.mjs';

export class Raw {
  constructor(peer, { protocols, query = '', ...options } = {}) {
    this.replies = [];
    this.pushes = [];
    this.messages = []; // as they came, each an array of lines
    this.pings = 0;
    this.autoPong = true;
    this.nextId = 1;
    this.socket = new WebSocket(peer.ws + query, protocols, options);
    this.socket.on('message', (data, binary) => this.#message(data, binary));
    this.closed = new Promise((resolve) => {
      this.socket.on('close', (code, reason) => resolve({ code, reason: reason.toString() }));
    });
    this.opened = new Promise((resolve, reject) => {
      this.socket.on('open', () => resolve(this));
      this.socket.on('error', reject);
      this.socket.on('unexpected-response', (_, res) =>
        reject(new Error(`HTTP ${res.statusCode}`)),
      );
    });
    this.opened.catch(() => {});
  }

  #message(data, binary) {
    const lines = data.toString().split('\n');
    this.messages.push({ lines, binary });
    for (const line of lines) {
      const reply = JSON.parse(line);
      if (reply.push !== undefined) this.pushes.push(reply.push);
      else if (reply.id !== undefined) this.replies.push(reply);
      else if (line === '{}') this.#ping();
      else throw new Error(`neither reply, push nor ping: ${line}`);
    }
  }

  #ping() {
    this.pings++;
    if (this.autoPong) this.socket.send('{}');
  }

  send(text) {
    this.socket.send(text);
  }

  /** Sends commands in one message, without waiting. Returns their ids. */
  batch(...commands) {
    const ids = commands.map(() => this.nextId++);
    this.send(commands.map((c, i) => JSON.stringify({ id: ids[i], ...c })).join('\n'));
    return ids;
  }

  reply(id) {
    return until(`reply ${id}`, 5000, () => this.replies.find((reply) => reply.id === id));
  }

  /** One command; the whole reply. */
  async ask(command) {
    const [id] = this.batch(command);
    return this.reply(id);
  }

  async end() {
    return within('the server closes', 15_000, this.closed);
  }

  close() {
    this.socket.terminate();
  }

  pubs(channel) {
    return this.pushes.filter((p) => p.channel === channel && p.pub).map((p) => p.pub);
  }
}

/** Open and connected. */
export async function connected(peer, connect = {}, options = {}) {
  const raw = new Raw(peer, options);
  await within('the socket opens', 5000, raw.opened);
  const { connect: result, error } = await raw.ask({ connect });
  if (error !== undefined) throw new Error(`connect: ${JSON.stringify(error)}`);
  raw.result = result;
  return raw;
}

const part = (object) => Buffer.from(JSON.stringify(object)).toString('base64url');

/** A JWT signed with HS256. */
export function jwt(secret, claims, { alg = 'HS256' } = {}) {
  const text = `${part({ alg, typ: 'JWT' })}.${part(claims)}`;
  const mac = createHmac('sha256', secret).update(text).digest('base64url');
  return `${text}.${alg === 'none' ? '' : mac}`;
}

export const inSeconds = (s) => Math.floor(Date.now() / 1000) + s;
