// Prices change all the time, each pushed as an event, while visitors browse. Some users change prices
// of products of their own and ask for them at the same time: whoever asks after an event was
// acknowledged must not be told the price before it, not in a price answer, not in a product's, not in a
// search's. docs/consistency.md has the promise; PROMISE_MS is its bound.

import exec from 'k6/execution';
import { Counter, Rate } from 'k6/metrics';
import {
  BRIEF, DIRECT, INGEST, Ledger, PRODUCTS, SANDBOX, anyOf, askLater, beginCounting, changePrice,
  complain, duration, endCounting, found, need, old, options as make, pageView, paced, pause, priceNow,
  prices, product, productAt, push, rate, seed, zipf,
} from './lib.js';

need({ SANDBOX_URL: SANDBOX });

const SECONDS = duration(60);
const USERS = BRIEF ? 2 : 4;
const OWNED = 8;
const READERS = 3;
const CHANGES_PER_SECOND = BRIEF ? 20 : 60;
const JOB_OF_PRICES = 1020;

const acknowledged = new Rate('events_acknowledged');
const held = new Counter('prices_held_to_an_event');

export const options = make({
  visitors: paced(rate(BRIEF ? 8 : 25), SECONDS),
  storm: {
    executor: 'per-vu-iterations', vus: USERS, iterations: 1, exec: 'storm', maxDuration: `${SECONDS + 60}s`,
  },
  ...(INGEST ? { jobs: paced(0.5, SECONDS, { exec: 'job' }) } : {}),
}, {
  always: { old_answers: ['count==0'], prices_held_to_an_event: ['count>20'] },
  cached: { events_acknowledged: ['rate==1'], hits: ['rate>0.05'] },
});

const popular = zipf(PRODUCTS);

export const setup = beginCounting;
export const teardown = endCounting;

export default function visit() {
  seed();
  pageView(popular);
}

// A distribution job: every price at once.
export function job() {
  acknowledged.add(push('csu.cdx.job.applied', { job: JOB_OF_PRICES }));
}

// Each user has products of its own, of those that visitors ask for most.
export async function storm() {
  seed();
  const first = exec.scenario.iterationInTest;
  const own = Array.from({ length: OWNED }, (_, at) => productAt(first + at * USERS));
  const ledger = new Ledger();
  const end = Date.now() + SECONDS * 1000;
  const readers = Array.from({ length: READERS }, () => readOn(own, ledger, end));
  await Promise.all([changeOn(own, ledger, end), ...readers]);
}

async function changeOn(own, ledger, end) {
  let last = 0;
  while (Date.now() < end) {
    const began = Date.now();
    const id = anyOf(own);
    last = Math.max(priceNow(), last + 1);
    const stands = await changePrice(id, last);
    if (!DIRECT) acknowledged.add(stands);
    // Without a cache a price holds as soon as it is set.
    if (stands || DIRECT) ledger.acknowledge(id, last);
    await pause(Math.max(0, (1000 * USERS) / CHANGES_PER_SECOND - (Date.now() - began)));
  }
}

async function readOn(own, ledger, end) {
  while (Date.now() < end) {
    const ids = anyOf([own, own.slice(0, 3), [anyOf(own)]]);
    const askedAt = Date.now();
    const least = ids.map((id) => ledger.least(id, askedAt));
    const told = await anyOf([priceList, priceList, products, searched])(ids);
    ids.forEach((id, at) => hold(id, told === null ? null : told[at], least[at]));
    await pause(5);
  }
}

async function priceList(ids) {
  const answer = await askLater(prices(ids));
  return answer && answer.value.map((row) => row.AdjustedPrice);
}

async function searched(ids) {
  const answer = await askLater(found(ids));
  return answer && ids.map((id) => answer.value.find((row) => row.RecordId === id).Price);
}

async function products(ids) {
  const shown = await Promise.all(ids.map((id) => askLater(product(id))));
  return shown.map((answer) => answer && answer.AdjustedPrice);
}

function hold(id, told, least) {
  if (told === null || least === 0) return;
  held.add(1);
  old.add(told < least ? 1 : 0);
  if (told < least) complain(`${id}: ${told} is ${least - told} ms older than what was acknowledged`);
}
