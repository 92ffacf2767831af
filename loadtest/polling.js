// How old a changed price gets before the new one is answered, how long reads take, and what the origin is
// asked: for a cache that is told of changes, or one that only has lifetimes (`loadtest/run polling` runs
// each, and puts them side by side).
//
// Prices of what is asked for most change; from the moment on at which one is sent, its price is asked for
// ten times a second until the new one is answered.

import { Counter, Trend } from 'k6/metrics';
import {
  BRIEF, PRODUCTS, SANDBOX, askLater, beginCounting, changePrice, duration, endCounting, need, number, once,
  options as make, pageView, pause, priceNow, prices, productAt, rate, seed, warmedUp, zipf,
} from './lib.js';

need({ SANDBOX_URL: SANDBOX });

const SECONDS = duration(60);
const WARM_UP = number('WARM_UP', BRIEF ? 1 : 15);
const CHANGED = 100;
const CHANGES_PER_SECOND = 2;
const LOOKS_EVERY_MS = 100;
const LOOKS_FOR_MS = 60000;

const staleness = new Trend('staleness_ms', true);
const unseen = new Counter('changes_never_seen');
const oldReads = new Counter('looks_at_an_old_price');
const looks = new Counter('looks');

export const options = make({
  ...warmedUp(rate(BRIEF ? 8 : 40), SECONDS),
  changes: once('change', WARM_UP, SECONDS + LOOKS_FOR_MS / 1000 + 30),
}, {
  always: { changes_never_seen: ['count==0'], looks: ['count>5'], staleness_ms: ['max>0'] },
});

const popular = zipf(PRODUCTS);

export const setup = beginCounting;
export const counting = beginCounting;
export const teardown = endCounting;

export default function visit() {
  seed();
  pageView(popular, { carts: false });
}

export async function change() {
  const end = Date.now() + SECONDS * 1000;
  const watched = [];
  for (let turn = 0; Date.now() < end; turn += 1) {
    watched.push(follow(productAt(turn % CHANGED)));
    await pause(1000 / CHANGES_PER_SECOND);
  }
  await Promise.all(watched);
}

async function follow(id) {
  const [began, price] = [Date.now(), priceNow()];
  const changed = changePrice(id, price);
  while (Date.now() - began < LOOKS_FOR_MS) {
    const answer = await askLater(prices([id]));
    const isNew = answer !== null && answer.value[0].AdjustedPrice >= price;
    looks.add(1);
    oldReads.add(isNew ? 0 : 1);
    if (isNew) {
      staleness.add(Date.now() - began);
      await changed;
      return;
    }
    await pause(LOOKS_EVERY_MS);
  }
  unseen.add(1);
}
