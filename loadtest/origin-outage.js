// The Retail Server goes down in mid-run and comes back. Who asks what was answered before is answered
// all the while; the lifetimes are short (`loadtest/run` sets them), so nearly all of it is stale.
//
// OPERATOR_URL ends the stand-in's process and starts it again; without it, a fault resets every
// connection to the stand-in, and then has it answer 503.

import { Rate } from 'k6/metrics';
import {
  CATEGORIES, DIRECT, OPERATOR, SANDBOX, WORDS, anyOf, ask, askAll, availability, categories,
  changePrice, duration, listing, need, once, operator, options as make, paced, pause, peek, prices, priceNow,
  product, productAt, rate, sandbox, search, seed, setting,
} from './lib.js';

need({ SANDBOX_URL: SANDBOX });

const SECONDS = duration(60);
const LONGEST_OUTAGE = 40; // Prices may be stale for a minute.
const OUTAGE = Math.min(SECONDS / 3, LONGEST_OUTAGE);
const BACK_WITHIN_S = 60;

const KNOWN = Array.from({ length: 30 }, (_, rank) => productAt(rank));
const QUESTIONS = [
  () => product(anyOf(KNOWN)),
  () => prices([anyOf(KNOWN)]),
  () => prices(KNOWN),
  () => availability([anyOf(KNOWN)]),
  () => listing(anyOf(CATEGORIES)),
  () => search(anyOf(WORDS)),
  () => setting('GetTenderTypes'),
  () => categories(),
];
const back = new Rate('new_price_after_the_outage');

export const options = make({
  visitors: paced(rate(60), SECONDS),
  outage: once('outage', SECONDS / 3, OUTAGE + 60),
}, {
  always: { new_price_after_the_outage: ['rate==1'] },
  cached: { stale_answers: ['count>20'] },
  timely: { dropped_iterations: ['count<50'] },
});
// What an outage is like without a cache is what this measures then.
if (DIRECT) delete options.thresholds.failed_answers;

export function setup() {
  askAll(KNOWN.flatMap((id) => [product(id), prices([id]), availability([id])]));
  askAll([...CATEGORIES.map((each) => listing(each)), ...WORDS.map(search)]);
  askAll([prices(KNOWN), setting('GetTenderTypes'), categories()]);
}

export default function visit() {
  seed();
  ask(anyOf(QUESTIONS)());
}

export async function outage() {
  if (OPERATOR) {
    operator('origin/stop');
    await pause(OUTAGE * 1000);
    operator('origin/start');
    return;
  }
  for (const status of ['reset', 503]) {
    sandbox('POST', 'faults', { operation: '*', status, for: `${Math.ceil(OUTAGE)}s` });
    await pause((OUTAGE * 1000) / 2);
  }
  sandbox('DELETE', 'faults');
}

// What was pushed after the outage is told as soon as the origin is asked again.
export async function teardown() {
  const price = priceNow();
  const stands = await changePrice(KNOWN[0], price);
  if (!stands && !DIRECT) throw new Error('the event after the outage was not acknowledged');
  const end = Date.now() + BACK_WITHIN_S * 1000;
  let told = 0;
  while (told !== price && Date.now() < end) {
    await pause(200);
    const answer = peek(prices([KNOWN[0]]));
    told = answer === null ? 0 : answer.value[0].AdjustedPrice;
  }
  back.add(told === price);
}
