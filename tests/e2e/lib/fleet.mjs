// Many SDK clients spread over the peers.
import { Record, sdkClient } from './client.mjs';

const ORDERS = [
  [0, 1, 2],
  [1, 2, 0],
  [2, 0, 1],
  [0, 2, 1],
  [1, 0, 2],
  [2, 1, 0],
];

/** @count subscribers over three peers, each with an order of servers and @each channels of its
 *  own;  the first has all. */
export function subscribeAll(peers, channels, count, each) {
  const clients = [];
  for (let i = 0; i < count; i++) {
    const client = sdkClient(ORDERS[i % ORDERS.length].map((k) => peers[k]));
    const length = i === 0 ? channels.length : each;
    const mine = Array.from({ length }, (_, k) => channels[(i + k) % channels.length]);
    const records = mine.map((channel) => new Record(client, channel, { recoverable: true }));
    for (const record of records) record.owner = `s${i}`;
    client.connect();
    clients.push({ client, records });
  }
  return clients;
}

/** All its subscriptions are up. */
export const back = ({ records }) => records.every((record) => record.subscribed);
