// A peer: dunlind on a machine of its own, with a configuration file as an operator would write it.
import { spawn } from 'node:child_process';
import { openSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { dunlind } from '../e2e/lib/env.mjs';
import { api, request } from '../e2e/lib/http.mjs';

export const API_KEY = 'chaos-api-key';
export const API_HEADERS = { 'X-API-Key': API_KEY };

export class Peer {
  constructor(run, index) {
    this.run = run;
    this.name = `n${index + 1}`;
    this.port = this.name; // of the bridge
    this.address = `10.0.0.${11 + index}`;
    this.url = `http://${this.address}:8000`;
    this.ws = `ws://${this.address}:8000/connection/websocket`;
    this.logFile = join(run.dir, `${this.name}.log`);
    this.log = openSync(this.logFile, 'a');
    this.child = undefined;
    this.exited = undefined;
    this.expectExit = false;
    this.paused = false;
  }

  configure(peers) {
    const names = peers.map((peer) => peer.name).join(', ');
    const join_ = peers.map((peer) => `${peer.address}:7946`).join(', ');
    this.file = join(this.run.dir, `${this.name}.yaml`);
    writeFileSync(
      this.file,
      `name: ${this.name}\n` +
        `voters: [${names}]\n` +
        `join: [${join_}]\n` +
        `cluster: {key_file: ${join(this.run.dir, 'cluster.key')}}\n` +
        'client: {listen: 0.0.0.0:8000, insecure: true}\n' +
        `gossip: {listen: ${this.address}:7946}\n` +
        `replication: {listen: ${this.address}:7947}\n` +
        `api: {key: "${API_KEY}"}\n` +
        'workers: 1\n' +
        'namespaces:\n' +
        '  - {name: "", history_size: 20000, history_ttl: 1h, force_recovery: true}\n',
    );
  }

  start() {
    const words = this.run.net.words(this.port, dunlind, '--config', this.file);
    const stdio = ['ignore', this.log, this.log];
    const child = spawn(words[0], words.slice(1), { stdio, cwd: this.run.dir });
    this.expectExit = false;
    this.paused = false;
    this.child = child;
    this.note(`--- ${this.name} started, pid ${child.pid}`);
    this.exited = new Promise((resolve) => {
      child.once('error', (error) => this.run.problem(`${this.name}: ${error.message}`));
      child.once('exit', (code, signal) => {
        this.note(`--- ${this.name} pid ${child.pid} ended: ${code ?? signal}`);
        if (!this.expectExit) this.run.problem(`${this.name} ended by itself: ${code ?? signal}`);
        if (this.child === child) this.child = undefined;
        resolve();
      });
    });
  }

  note(line) {
    writeSync(this.log, `${line}\n`);
  }

  async kill() {
    this.expectExit = true;
    this.child?.kill('SIGKILL');
    await this.exited;
  }

  pause() {
    this.paused = true;
    this.child?.kill('SIGSTOP');
  }

  resume() {
    this.paused = false;
    this.child?.kill('SIGCONT');
  }

  /** The status of /readyz, or 0 without an answer. */
  async readyStatus(timeoutMs = 1000) {
    try {
      return (await request(`${this.url}/readyz`, { timeoutMs, agent: false })).status;
    } catch {
      return 0;
    }
  }

  publish(body, timeoutMs) {
    return api(this, 'publish', body, { headers: API_HEADERS, agent: false, timeoutMs });
  }
}
