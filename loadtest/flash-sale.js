// A sale of twenty products: within ten seconds there are fifty times as many visitors, and in the midst of
// that the prices change.

import { Rate } from 'k6/metrics';
import {
  BRIEF, DIRECT, SANDBOX, askAll, availability, beginCounting, cart, changePrice, duration,
  endCounting, once, options as make, prices, product, productAt, rate, seed, zipf,
} from './lib.js';

const SALE = 20;
const TIMES = 50;
const SECONDS = duration(50);
const CALM = SECONDS / 5;
const RAMP = Math.min(10, (SECONDS * 2) / 5);
const CALM_RATE = rate(BRIEF ? 1 : 4);
const STOCK_FRESH_FOR = 30;

// What the origin has to be asked at least: three questions a product, two of them again when its price
// has changed, one again when the stock level's lifetime has ended. A quarter more is let pass.
const NEEDED = SALE * (3 + 2 + Math.floor((SECONDS + 5) / STOCK_FRESH_FOR));

const popular = zipf(SALE);
const onSale = (rank) => productAt(rank);
const salePrice = (rank) => rank + 0.99;
const salePrices = new Rate('sale_prices_told');

export const options = make({
  visitors: {
    executor: 'ramping-arrival-rate',
    startRate: CALM_RATE,
    timeUnit: '1s',
    stages: [
      { target: CALM_RATE, duration: `${CALM}s` },
      { target: CALM_RATE * TIMES, duration: `${RAMP}s` },
      { target: CALM_RATE * TIMES, duration: `${SECONDS - CALM - RAMP}s` },
    ],
    preAllocatedVUs: BRIEF ? 50 : 200,
    maxVUs: 900,
  },
  ...(SANDBOX ? { sale: once('sale', CALM + RAMP / 2) } : {}),
}, {
  always: SANDBOX ? { sale_prices_told: ['rate==1'] } : {},
  cached: { hits: ['rate>0.5'], ...(SANDBOX ? { origin_reads: [`count<=${Math.ceil(NEEDED * 1.25)}`] } : {}) },
  timely: { hits: ['rate>0.98'], hit_ms: ['p(95)<50', 'p(99)<250'], dropped_iterations: ['count<50'] },
});

export const setup = beginCounting;

export default function visit() {
  seed();
  const id = onSale(popular());
  if (Math.random() < 0.06) cart(id, onSale(popular()));
  else askAll([product(id), prices([id]), availability([id])]);
}

export async function sale() {
  for (let rank = 0; rank < SALE; rank += 1) {
    const stands = await changePrice(onSale(rank), salePrice(rank));
    if (!stands && !DIRECT) throw new Error('an event of the sale was not acknowledged');
    told(rank);
  }
}

export function teardown() {
  endCounting();
  for (let rank = 0; SANDBOX && rank < SALE; rank += 1) told(rank);
}

// From the acknowledgement to the end, the sale's price is what everybody is told.
function told(rank) {
  const [shown, price] = askAll([product(onSale(rank)), prices([onSale(rank)])]);
  salePrices.add(shown !== null && shown.AdjustedPrice === salePrice(rank));
  salePrices.add(price !== null && price.value[0].AdjustedPrice === salePrice(rank));
}
