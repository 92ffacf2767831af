// A long mixed load: visitors, carts, prices and stock levels that change. What the node says of itself at
// its control port must not grow: neither memory beyond what it stores, nor errors, nor what is left over
// when the load has ended.

import { Counter, Gauge, Rate } from 'k6/metrics';
import {
  BRIEF, CONTROL, DIRECT, PRODUCTS, SANDBOX, beginCounting, changePrice, complain, duration, endCounting,
  metric, need, once, options as make, pageView, paced, pause, productAt, rate, sandbox, scrape, seed, zipf,
} from './lib.js';

need({ SANDBOX_URL: SANDBOX, ...(DIRECT ? {} : { CONTROL_URL: CONTROL }) });

const SECONDS = duration(1800);
const MIB = 1 << 20;
const CHANGES_PER_SECOND = 2;
const REST_WITHIN_S = 30;

const popular = zipf(PRODUCTS);
const resident = new Gauge('resident_bytes');
const stored = new Gauge('stored_bytes');
const evicted = new Gauge('evicted');
const unexplained = new Gauge('unexplained_growth_bytes');
const errors = new Counter('node_errors');
const leftOver = new Counter('left_over');
const scrapes = new Counter('scrapes');
const acknowledged = new Rate('events_acknowledged');

export const options = make({
  visitors: paced(rate(BRIEF ? 8 : 30), SECONDS),
  changes: once('change', 0, SECONDS + 60),
  ...(DIRECT ? {} : { watch: once('watch', 0, SECONDS + 60) }),
}, {
  cached: {
    events_acknowledged: ['rate==1'],
    node_errors: ['count==0'],
    left_over: ['count==0'],
    scrapes: ['count>3'],
    resident_bytes: ['value>0'],
    unexplained_growth_bytes: [`value<${(BRIEF ? 64 : 16) * MIB}`],
  },
  timely: { hits: ['rate>0.5'], dropped_iterations: [`count<${SECONDS}`] },
});

export const setup = beginCounting;

export default function visit() {
  seed();
  pageView(popular);
}

export async function change() {
  seed();
  const end = Date.now() + SECONDS * 1000;
  for (let turn = 0; Date.now() < end; turn += 1) {
    const id = productAt(popular());
    if (turn % 2 === 0) {
      const stands = await changePrice(id, 10 + (turn % 100));
      if (!DIRECT) acknowledged.add(stands);
    } else {
      const order = { productId: id, warehouse: '13', available: turn % 50 };
      const told = sandbox('POST', 'inventory', order);
      if (!DIRECT) acknowledged.add(told.pushed === true);
    }
    await pause(1000 / CHANGES_PER_SECOND);
  }
}

// Errors are counted by the node, whatever clients saw of them.
const errorsIn = (told) => metric(told, 'csu_edge_requests_total', 'result="error"')
  + metric(told, 'csu_edge_panics_total')
  + metric(told, 'csu_edge_dead_letters_total')
  + metric(told, 'csu_edge_ingest_refused_total')
  + metric(told, 'csu_edge_origin_gate_refused_total', 'priority="client"');

// Memory is judged once half of the run has filled the store: the middle sixth against the last one. What is
// stored more by then explains as much.
export async function watch() {
  const [began, samples] = [Date.now(), []];
  const share = () => (Date.now() - began) / (SECONDS * 1000);
  let seen = errorsIn(scrape());
  while (share() < 1) {
    const told = scrape();
    scrapes.add(1);
    const sample = {
      at: share(),
      resident: metric(told, 'process_resident_memory_bytes'),
      stored: metric(told, 'csu_edge_stored_bytes'),
    };
    samples.push(sample);
    resident.add(sample.resident);
    stored.add(sample.stored);
    evicted.add(metric(told, 'csu_edge_evictions_total', 'cause="capacity"'));
    const count = errorsIn(told);
    errors.add(count - seen);
    if (count > seen) complain(`the node counted ${count - seen} errors`);
    seen = count;
    await pause(Math.min(5000, SECONDS * 20));
  }
  const of = (from, to) => median(samples.filter(({ at }) => at >= from && at < to));
  const [middle, last] = [of(1 / 3, 1 / 2), of(5 / 6, 1)];
  const explained = Math.max(0, last.stored - middle.stored);
  unexplained.add(last.resident - middle.resident - explained);
}

function median(samples) {
  if (samples.length === 0) throw new Error('the control port was not asked often enough');
  const middle = (name) => {
    const values = samples.map((sample) => sample[name]).sort((a, b) => a - b);
    return values[values.length >> 1];
  };
  return { resident: middle('resident'), stored: middle('stored') };
}

const RUNNING = ['collapse_waiters', 'origin_in_flight', 'origin_gate_in_flight', 'origin_gate_waiting'];

export async function teardown() {
  endCounting();
  if (DIRECT) return;
  const running = () => {
    const told = scrape();
    return RUNNING.filter((name) => metric(told, `csu_edge_${name}`) !== 0);
  };
  const end = Date.now() + REST_WITHIN_S * 1000;
  while (running().length > 0 && Date.now() < end) await pause(200);
  const left = running();
  leftOver.add(left.length);
  if (left.length > 0) complain(`not at rest: ${left.join()}`);
}
