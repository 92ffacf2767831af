// Business customers, signed in, each with contract prices of its own, beside visitors who are not.
// Nobody is ever told another's price. What is asked with a token is stored for that token
// (`identity = "token"`, which `loadtest/run` sets), so that there is something to mix up.

import { Counter } from 'k6/metrics';
import {
  SANDBOX, anyOf, ask, askAll, bearer, beginCounting, complain, duration, endCounting, found, need,
  options as make, paced, prices, product, productAt, rate, sandbox, seed, BRIEF, zipf,
} from './lib.js';

need({ SANDBOX_URL: SANDBOX });

const CUSTOMERS = ['2001', '2002', '2003'];
const EVERYBODYS_CATALOGUE = 5637160000;
const KNOWN = BRIEF ? 10 : 60;
const TOKENS = 2;
// A contract price is the customer's place times this, and the product's rank: it tells whose it is.
const UNIT = 1000000;

const popular = zipf(KNOWN);
const foreign = new Counter('prices_of_another');
const contracts = new Counter('contract_prices');

export const options = make({ visitors: paced(rate(BRIEF ? 30 : 60), duration(60)) }, {
  always: { prices_of_another: ['count==0'], contract_prices: ['count>100'] },
  cached: { hits: ['rate>0.1'] },
  timely: { hits: ['rate>0.7'], hit_ms: ['p(95)<50', 'p(99)<250'], dropped_iterations: ['count<10'] },
});

const contractPrice = (customer, rank) => (CUSTOMERS.indexOf(customer) + 1) * UNIT + rank;

export function setup() {
  for (const customer of CUSTOMERS) {
    for (let rank = 0; rank < KNOWN; rank += 1) {
      const price = contractPrice(customer, rank);
      sandbox('POST', 'prices', { productId: productAt(rank), price, customerId: customer });
    }
  }
  const signedIn = {};
  for (const customer of CUSTOMERS) {
    signedIn[customer] = Array.from({ length: TOKENS }, (_, at) => bearer(customer, `${60 + at}m`));
  }
  beginCounting();
  return signedIn;
}

export const teardown = endCounting;

export default function visit(signedIn) {
  seed();
  const customer = anyOf([null, ...CUSTOMERS]);
  const headers = customer === null ? {} : anyOf(signedIn[customer]);
  const rank = popular();
  const page = Array.from({ length: KNOWN / 5 }, (_, at) => (rank + at) % KNOWN);
  const at = Math.random();
  if (at < 0.5) {
    const [shown, price] = askAll([product(productAt(rank)), pricesOf([rank], customer)], headers);
    hold(customer, [rank], shown && [shown.AdjustedPrice]);
    hold(customer, [rank], price && price.value.map((row) => row.AdjustedPrice));
  } else if (at < 0.75) {
    const answer = ask(pricesOf(page, customer), headers);
    hold(customer, page, answer && answer.value.map((row) => row.AdjustedPrice));
  } else if (at < 0.95) {
    const answer = ask(found(page.map(productAt), catalogueOf(customer)), headers);
    const priceOf = (id) => answer.value.find((row) => row.RecordId === id).Price;
    hold(customer, page, answer && page.map(productAt).map(priceOf));
  } else if (customer !== null) {
    askForAnothers(customer, rank, headers);
  }
}

const catalogueOf = (customer) => (customer === null ? 0 : EVERYBODYS_CATALOGUE);

// Customers name themselves or leave it to their token.
function pricesOf(ranks, customer) {
  const named = customer !== null && Math.random() < 0.5 ? customer : null;
  return prices(ranks.map(productAt), { catalogue: catalogueOf(customer), customer: named });
}

// The Retail Server refuses that, and so must what stands before it.
function askForAnothers(customer, rank, headers) {
  const other = anyOf(CUSTOMERS.filter((each) => each !== customer));
  const question = prices([productAt(rank)], { catalogue: EVERYBODYS_CATALOGUE, customer: other });
  ask({ ...question, kind: 'refused', status: 403, isRight: (answer) => !answer.value }, headers);
}

function hold(customer, ranks, told) {
  if (told === null) return;
  ranks.forEach((rank, at) => {
    const isRight = customer === null ? told[at] < UNIT : told[at] === contractPrice(customer, rank);
    foreign.add(isRight ? 0 : 1);
    if (customer !== null) contracts.add(1);
    if (!isRight) complain(`${customer || 'a visitor'} was told ${told[at]} for the product of rank ${rank}`);
  });
}
