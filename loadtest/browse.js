// Visitors of a shop: listings, products, prices, stock levels, searches and carts.

import {
  PRODUCTS, beginCounting, duration, endCounting, options as make, pageView, rate, seed, warmedUp, zipf,
} from './lib.js';

const popular = zipf(PRODUCTS);

export const options = make(warmedUp(rate(40), duration(60)), {
  cached: { hits: ['rate>0.3'] },
  timely: { hits: ['rate>0.8'], hit_ms: ['p(95)<50', 'p(99)<250'], dropped_iterations: ['count<10'] },
});

export const setup = beginCounting;
export const counting = beginCounting;
export const teardown = endCounting;

export default function visit() {
  seed();
  pageView(popular);
}
