// A peer: dunlind on a machine of its own, with the address and the configuration file of a machine
// of deploy/vagrant. What the machines do not share there comes by the environment, as secrets do.
import { spawn } from 'node:child_process';
import { openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { addressOf, fileOf } from './config.mjs';
import { dunlind } from '../e2e/lib/env.mjs';
import { api, request } from '../e2e/lib/http.mjs';

export const API_KEY = 'chaos-api-key';
export const API_HEADERS = { 'X-API-Key': API_KEY };

export class Peer {
  constructor(run, index) {
    this.run = run;
    this.name = `n${index + 1}`;
    this.port = this.name; // of the bridge
    this.address = addressOf(index);
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
    const names = peers.map((peer) => peer.name);
    this.file = fileOf(this.name, names, this.run.dir);
  }

  start() {
    const words = this.run.net.words(this.port, dunlind, '--config', this.file);
    const stdio = ['ignore', this.log, this.log];
    const env = {
      ...process.env,
      DUNLIN_API_KEY: API_KEY,
      DUNLIN_CLUSTER_KEY_FILE: join(this.run.dir, 'cluster.key'), // our machines share one /etc
    };
    const child = spawn(words[0], words.slice(1), { stdio, cwd: this.run.dir, env });
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
