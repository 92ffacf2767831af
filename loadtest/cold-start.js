// A cache that holds nothing meets the whole load at once: the origin is asked each question once, and
// nobody is turned away.

import exec from 'k6/execution';
import {
  BRIEF, CATEGORIES, CONTROL, DIRECT, SANDBOX, WORDS, anyOf, ask, askAll, availability, beginCounting,
  control, duration, endCounting, listing, options as make, paced, prices, product, productAt, rate,
  search, seed, zipf,
} from './lib.js';

const KNOWN = BRIEF ? 20 : 100;
// Shorter than the shortest lifetime, so that no question has to be asked again.
const SECONDS = duration(20);
const QUESTIONS = KNOWN * 3 + CATEGORIES.length + WORDS.length;

const popular = zipf(KNOWN);

export const options = make({
  // All at once, before anything is stored: every one of them asks for every product.
  herd: { executor: 'per-vu-iterations', vus: 30, iterations: 1, exec: 'rush', maxDuration: '60s' },
  visitors: paced(rate(BRIEF ? 15 : 100), SECONDS),
}, {
  cached: {
    'hits{half:second}': [BRIEF ? 'rate>0.3' : 'rate>0.9'],
    ...(SANDBOX ? { origin_reads: [`count<=${QUESTIONS}`] } : {}),
  },
  timely: { read_ms: ['p(99)<2000'], dropped_iterations: ['count<50'] },
});

export function setup() {
  if (CONTROL && !DIRECT) control('purge', { tags: ['*'], mode: 'hard' });
  beginCounting();
}

export const teardown = endCounting;

export function rush() {
  for (let rank = 0; rank < KNOWN; rank += 1) productPage(productAt(rank));
}

const productPage = (id) => askAll([product(id), prices([id]), availability([id])]);

export default function visit() {
  seed();
  exec.vu.metrics.tags.half = exec.scenario.progress < 0.5 ? 'first' : 'second';
  const at = Math.random();
  if (at < 0.7) {
    productPage(productAt(popular()));
  } else if (at < 0.9) {
    ask(listing(anyOf(CATEGORIES)));
  } else {
    ask(search(anyOf(WORDS)));
  }
}
