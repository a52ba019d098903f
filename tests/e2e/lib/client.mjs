// The official Centrifuge JavaScript SDK, unmodified, over sockets that choose their server.
// The SDK stays with the one endpoint it was given, so the WebSocket class it is given moves: a
// new socket begins at the server of the last success, and one that fails moves on at once.
import { Centrifuge } from 'centrifuge';
import WebSocket from 'ws';
import { patience } from './env.mjs';

/** A WebSocket class over @servers (ws:// addresses), tried in that order, round and round. */
export function movingSocket(servers) {
  const state = { at: 0, opened: [], server: undefined };

  class MovingSocket {
    static state = state;

    constructor() {
      this.closedByUser = false;
      this.wasOpen = false;
      this.tries = 0;
      this.#dial();
    }

    #dial() {
      const url = servers[state.at % servers.length];
      const socket = new WebSocket(url, { handshakeTimeout: patience(1500) });
      this.socket = socket;
      this.tries++;
      socket.onopen = (event) => {
        this.wasOpen = true;
        state.server = url;
        state.opened.push(url);
        this.onopen?.(event);
      };
      socket.onmessage = (event) => this.onmessage?.(event);
      socket.onerror = (event) => {
        if (this.wasOpen) this.onerror?.(event);
      };
      socket.onclose = (event) => this.#closed(event);
    }

    #closed(event) {
      if (state.server === servers[state.at % servers.length] && this.wasOpen)
        state.server = undefined;
      // Whatever it was: the next server. The SDK gives up a dial by itself after 5 s, which may be
      // sooner than the handshake's own deadline.
      if (!this.closedByUser || !this.wasOpen) state.at++;
      if (!this.wasOpen && !this.closedByUser && this.tries < servers.length) {
        this.#dial();
        return;
      }
      this.onclose?.(event);
    }

    get readyState() {
      return this.socket.readyState;
    }

    set binaryType(type) {
      this.socket.binaryType = type;
    }

    send(data) {
      this.socket.send(data);
    }

    close(code, reason) {
      this.closedByUser = true;
      this.socket.close(code, reason);
    }
  }
  return MovingSocket;
}

const clients = new Set();

/** An SDK client for @peers, beginning with the first. */
export function sdkClient(peers, options = {}) {
  const socket = movingSocket(peers.map((peer) => peer.ws));
  const client = new Centrifuge(peers[0].ws, {
    websocket: socket,
    minReconnectDelay: 50,
    maxReconnectDelay: 500,
    ...options,
  });
  client.sockets = socket.state;
  clients.add(client);
  return client;
}

export function disconnectAll() {
  for (const client of clients) client.disconnect();
  clients.clear();
}

/** A subscription that records what happened, and judges each message as it comes. */
export class Record {
  constructor(client, channel, options = {}) {
    this.channel = channel;
    this.got = []; // [offset, data]
    this.faults = [];
    this.starts = []; // each "subscribed": { at, wasRecovering, recovered, position }
    this.ends = []; // "unsubscribed"
    this.last = undefined;
    this.epoch = undefined;
    this.sub = client.newSubscription(channel, options);
    this.sub.on('subscribed', (ctx) => this.#subscribed(ctx));
    this.sub.on('publication', (ctx) => this.#publication(ctx));
    this.sub.on('unsubscribed', (ctx) => this.ends.push(ctx));
    this.sub.on('error', (ctx) => this.faults.push(`error ${JSON.stringify(ctx.error)}`));
    this.sub.subscribe();
  }

  #subscribed(ctx) {
    const position = ctx.streamPosition;
    this.starts.push({ at: performance.now(), ...ctx });
    if (this.last === undefined || !ctx.recovered) {
      this.last = position?.offset ?? 0;
    } else if (position.offset !== this.last) {
      this.faults.push(`resumed at ${position.offset} though at ${this.last}`);
    }
    if (this.epoch !== undefined && ctx.recovered && position.epoch !== this.epoch)
      this.faults.push(`epoch ${this.epoch} became ${position.epoch}, yet recovered`);
    this.epoch = position?.epoch;
  }

  #publication(ctx) {
    if (ctx.offset !== this.last + 1)
      this.faults.push(`offset ${ctx.offset} came after ${this.last}`);
    this.last = ctx.offset;
    this.got.push([ctx.offset, ctx.data]);
  }

  get subscribed() {
    return this.sub.state === 'subscribed';
  }
}
