// A node and its stand-in Retail Server as processes, and requests for them. What is started here is
// ended here.

import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

const PROGRAMS = process.env.CSU_EDGE_PROGRAMS;
if (!PROGRAMS) throw new Error('CSU_EDGE_PROGRAMS must name the folder of csu-edge and csu-sandbox');

/** The longest wait for anything, far past what is needed. */
export const PATIENCE_MS = 30_000;

function announced(child) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error('it did not start')), PATIENCE_MS);
    child.once('exit', code => reject(new Error(`it ended with ${code}`)));
    createInterface({ input: child.stdout }).once('line', line => {
      clearTimeout(timer);
      resolve(JSON.parse(line).listening);
    });
  });
}

async function start(name, ...options) {
  const child = spawn(join(PROGRAMS, name), options, { stdio: ['ignore', 'pipe', 'inherit'], env: {} });
  process.once('exit', () => child.kill('SIGKILL'));
  return { child, listening: await announced(child) };
}

function ended(child) {
  return new Promise(resolve => {
    if (child.exitCode !== null || child.signalCode !== null) return resolve();
    child.once('exit', resolve);
    child.kill('SIGKILL');
  });
}

function freePort() {
  return new Promise(resolve => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

/** A Redis that keeps nothing on disk. */
export class Redis {
  static async start() {
    const redis = new Redis(), port = await freePort();
    redis.child = spawn('redis-server', ['--port', port, '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', '--daemonize', 'no'],
      { stdio: ['ignore', 'pipe', 'inherit'] });
    process.once('exit', () => redis.child.kill('SIGKILL'));
    redis.url = `redis://127.0.0.1:${port}`;
    await new Promise((resolve, reject) => {
      redis.child.once('error', reject).once('exit', () => reject(new Error('redis-server ended')));
      createInterface({ input: redis.child.stdout }).on('line', line => { if (line.includes('Ready to accept')) resolve(); });
    });
    return redis;
  }

  end() {
    return ended(this.child);
  }
}

export class Shop {
  static async open(redis = '') {
    const shop = new Shop();
    shop.redis = redis;
    shop.folder = mkdtempSync(join(tmpdir(), 'csu-edge-console-'));
    shop.sandbox = await start('csu-sandbox', '--latency', '20ms');
    await shop.startNode('127.0.0.1:0');
    return shop;
  }

  async startNode(control) {
    const config = join(this.folder, 'config.toml');
    writeFileSync(config, `
      listen = { storefront = '127.0.0.1:0', ingest = '127.0.0.1:0', control = '${control}', workers = 1 }
      origin.service_root = 'http://${this.sandbox.listening.sandbox}/Commerce'
      log.filter = 'error'
      ${this.redis}`);
    this.node = await start('csu-edge', 'serve', '--config', config);
    this.control = `http://${this.node.listening.control}`;
  }

  endNode() {
    return ended(this.node.child);
  }

  /** Another process in its place, at the same control port. */
  restartNode() {
    return this.startNode(this.node.listening.control);
  }

  async close() {
    await this.endNode();
    await ended(this.sandbox.child);
    rmSync(this.folder, { recursive: true });
  }

  async post(url, body, headers = {}) {
    const response = await fetch(url, { method: 'POST', body: JSON.stringify(body),
      headers: { 'content-type': 'application/json', ...headers } });
    return { status: response.status, answer: await response.json() };
  }

  /** A price read, as storefronts do it. */
  price(product) {
    const url = `http://${this.node.listening.storefront}/Commerce/Products/GetActivePrices?api-version=7.3`;
    const body = { projectDomain: { ChannelId: 5637154326, CatalogId: 0 }, productIds: [product] };
    return this.post(url, body, { OUN: '128', 'Accept-Language': 'en-US' });
  }

  channels() {
    return fetch(`http://${this.node.listening.storefront}/Commerce/GetChannels()?api-version=7.3`);
  }

  purge(tag) {
    return this.post(`${this.control}/purge`, { tags: [tag] });
  }

  push(event) {
    return this.post(`http://${this.node.listening.ingest}/ingest/cdx`, event);
  }

  /** Asks for prices until told to stop, and never for longer than a minute. */
  load() {
    const until = Date.now() + 60_000;
    let stopped = false;
    const run = (async () => {
      for (let turn = 0; !stopped && Date.now() < until; turn += 1) {
        // Mostly what was asked before.
        await this.price(68719489871 + (turn % 12 ? turn % 5 : 5 + turn / 12 % 900));
        if (turn % 10 === 0) await this.channels();
      }
    })();
    return async () => { stopped = true; await run; };
  }
}
