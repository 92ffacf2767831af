// What the scenarios share: where they send to, what a storefront asks, who asks for what how often,
// and what is held against every answer. README.md has the environment's variables.

import { fail, randomSeed } from 'k6';
import crypto from 'k6/crypto';
import encoding from 'k6/encoding';
import exec from 'k6/execution';
import http from 'k6/http';
import { Counter, Rate, Trend } from 'k6/metrics';

// ---------------------------------------------------------------------------------- environment

const text = (name, fallback = '') => __ENV[name] || fallback;

export function number(name, fallback) {
  const told = text(name, String(fallback));
  const value = Number(told);
  if (!Number.isFinite(value) || value < 0) throw new Error(`${name}: ${told} is no number from 0 up`);
  return value;
}

const url = (name, fallback = '') => text(name, fallback).replace(/\/+$/, '');

const BASE = url('BASE_URL', 'http://127.0.0.1:8080/Commerce');
export const CONTROL = url('CONTROL_URL');
export const INGEST = url('INGEST_URL');
export const SANDBOX = url('SANDBOX_URL');
export const OPERATOR = url('OPERATOR_URL');
// The base URL is the Retail Server itself: what only a cache can do is not asked of it.
export const DIRECT = text('DIRECT') === '1';
// A run of seconds, on any machine: what is right is held, what is fast is not.
export const BRIEF = text('BRIEF') === '1';
// How long after its acknowledgement a purge may not hold yet: 0 on one node, fence_after in a fleet.
const PROMISE_MS = number('PROMISE_MS', 0);

const CHANNEL = number('CHANNEL', 5637154326);
const OUN = text('OUN', '128');
const FIRST_PRODUCT = number('FIRST_PRODUCT', 68719489871);
export const PRODUCTS = number('PRODUCTS', 1000);
const PRODUCT_IDS = __ENV.PRODUCT_IDS ? JSON.parse(open(__ENV.PRODUCT_IDS)) : null;
export const CATEGORIES = text('CATEGORIES', Array.from({ length: 12 }, (_, n) => 5637144581 + n).join())
  .split(',').map(Number);
export const WORDS = text('WORDS', 'shoe,boot,jacket,shirt,lamp,chair,table,tent,bottle,classic,waterproof')
  .split(',');
const VERSION = 'api-version=7.3';
const PAGE = 24;

// Names what a scenario cannot do without.
export function need(values) {
  const missing = Object.keys(values).filter((name) => !values[name]);
  if (missing.length > 0) throw new Error(`this scenario needs ${missing.join(' and ')}`);
}

// How long a scenario's load lasts, in seconds, and its pace: the environment's, else its own.
export const duration = (fallback) => number('DURATION', fallback);
export const rate = (fallback) => number('RATE', fallback);

// ------------------------------------------------------------------------------------- measures

const answers = new Counter('answers');
const failures = new Rate('failed_answers');
const wrong = new Counter('wrong_answers');
export const old = new Counter('old_answers');
const hits = new Rate('hits');
const stale = new Counter('stale_answers');
const readMs = new Trend('read_ms', true);
const hitMs = new Trend('hit_ms', true);
const writeMs = new Trend('write_ms', true);
const originReads = new Counter('origin_reads');
const originWrites = new Counter('origin_writes');

// A scenario's options. `always` holds in every run, `cached` where a cache is asked, `timely` where
// the run is long enough and the machine is one's own.
export function options(scenarios, { always = {}, cached = {}, timely = {} } = {}) {
  return {
    scenarios,
    thresholds: {
      answers: ['count>20'],
      failed_answers: ['rate==0'],
      wrong_answers: ['count==0'],
      ...always,
      ...(DIRECT ? {} : cached),
      ...(DIRECT || BRIEF ? {} : timely),
    },
    summaryTrendStats: ['avg', 'min', 'med', 'p(95)', 'p(99)', 'max'],
    setupTimeout: '120s',
    teardownTimeout: '120s',
    batch: 50,
    batchPerHost: 50,
    userAgent: 'csu-edge-loadtest',
  };
}

// Page views at a pace that does not wait for answers, after some that are not measured.
export function warmedUp(perSecond, seconds) {
  const warmUp = number('WARM_UP', BRIEF ? 1 : 15);
  return {
    warm_up: paced(perSecond, warmUp),
    counting: once('counting', warmUp),
    measured: paced(perSecond, seconds, { startTime: `${warmUp}s` }),
  };
}

// Neither what warms up, nor who changes things and looks for them, nor setup and teardown (user 0).
const isMeasured = () => __VU > 0 && !['warm_up', 'changes'].includes(exec.scenario.name);

// One user's one iteration, from a second of the run on.
export const once = (what, startSeconds = 0, lastsSeconds = 30) => ({
  executor: 'per-vu-iterations',
  vus: 1,
  iterations: 1,
  exec: what,
  startTime: `${startSeconds}s`,
  maxDuration: `${lastsSeconds}s`,
});

// Page views at a pace that does not wait for answers.
export function paced(perSecond, seconds, more = {}) {
  return {
    executor: 'constant-arrival-rate',
    rate: Math.max(1, Math.round(perSecond * 10)),
    timeUnit: '10s',
    duration: `${seconds}s`,
    preAllocatedVUs: Math.min(400, Math.ceil(perSecond) + 10),
    maxVUs: 800,
    gracefulStop: '30s',
    ...more,
  };
}

// ------------------------------------------------------------------------------------- who asks

// Ranks from 0, each as likely as one over itself: Zipf's law with exponent 1. The harmonic number of n is
// taken to be ln(n + 1/2) + Euler's constant, which is off by 2 % at the first rank and by less elsewhere.
const EULER = 0.5772156649;
export function zipf(ranks) {
  const sum = Math.log(ranks + 0.5) + EULER;
  return () => {
    const rank = Math.ceil(Math.exp(Math.random() * sum - EULER) - 0.5);
    return Math.min(Math.max(rank, 1), ranks) - 1;
  };
}

// The product of a rank. 7,919 is prime, so ranks spread over the assortment, none twice.
export function productAt(rank) {
  const ids = PRODUCT_IDS ? PRODUCT_IDS.length : PRODUCTS;
  const position = (rank * (ids % 7919 === 0 ? 1 : 7919)) % ids;
  return PRODUCT_IDS ? PRODUCT_IDS[position] : FIRST_PRODUCT + position;
}

export const anyOf = (list) => list[Math.floor(Math.random() * list.length)];

// The same choices in every run, others for each user.
let isSeeded = false;
export function seed() {
  if (!isSeeded) randomSeed(number('SEED', 1) * 100000 + exec.vu.idInTest);
  isSeeded = true;
}

// ------------------------------------------------------------------------------------ questions

const get = (kind, path, isRight, more = {}) => (
  { kind, method: 'GET', path, body: null, isRight, ...more });
const post = (kind, path, body, isRight, more = {}) => (
  { kind, method: 'POST', path, body: JSON.stringify(body), isRight, ...more });

const are = (found, asked) => found.length === asked.length && found.every((id, at) => id === asked[at]);

export const product = (id) => get(
  'product', `/Products(${id})/GetById(channelId=${CHANNEL})?${VERSION}`,
  (answer) => answer.RecordId === id);

// `more` may name a customer and a catalogue.
export const prices = (ids, { catalogue = 0, customer = null } = {}) => post(
  'price', `/Products/GetActivePrices?${VERSION}`,
  {
    projectDomain: { ChannelId: CHANNEL, CatalogId: catalogue },
    productIds: ids,
    activeDate: new Date().toISOString(),
    ...(customer === null ? {} : { customerId: customer }),
  },
  (answer) => are(answer.value.map((row) => row.ProductId), ids));

export const availability = (ids) => post(
  'availability', `/Products/GetEstimatedAvailability?${VERSION}`,
  { searchCriteria: { ProductIds: ids, DefaultWarehouseOnly: true } },
  (answer) => are(answer.AggregatedProductInventoryAvailabilities.map((row) => row.ProductId), ids));

export const listing = (category, page = 0, catalogue = 0) => post(
  'listing', `/Products/SearchByCriteria?$skip=${page * PAGE}&$top=${PAGE}&${VERSION}`,
  { searchCriteria: { CategoryIds: [category], Context: { ChannelId: CHANNEL, CatalogId: catalogue } } },
  (answer) => answer.value.length <= PAGE);

// The products as a search answers them, with the price inside: in an order of its own, since what it asks
// for is a set.
export const found = (ids, catalogue = 0) => post(
  'found', `/Products/SearchByCriteria?$top=${PAGE}&${VERSION}`,
  { searchCriteria: { Ids: ids, Context: { ChannelId: CHANNEL, CatalogId: catalogue } } },
  (answer) => answer.value.length === ids.length
    && answer.value.every((row) => ids.includes(row.RecordId)));

export const setting = (name) => get(
  'setting', `/${name}()?${VERSION}`, (answer) => answer.value.length > 0);

export const categories = () => post(
  'category', `/Categories/GetCategories?${VERSION}`, { channelId: CHANNEL },
  (answer) => answer.value.length > 0);

export const search = (word) => get(
  'search',
  `/Products/SearchByText(channelId=${CHANNEL},catalogId=0,searchText='${word}')?$top=${PAGE}&${VERSION}`,
  (answer) => answer.value.length <= PAGE
    && answer.value.every((row) => row.Name.toLowerCase().includes(word.toLowerCase())));

const newCart = (id) => post(
  'cart', `/Carts?${VERSION}`, { CartLines: [{ ProductId: id, Quantity: 1 }] },
  (answer) => are(answer.CartLines.map((line) => line.ProductId), [id]), { status: 201 });

const moreLines = (cart, id) => post(
  'cart', `/Carts('${cart.Id}')/AddCartLines?${VERSION}`, { cartLines: [{ ProductId: id, Quantity: 2 }] },
  (answer) => answer.Id === cart.Id && answer.CartLines.length === cart.CartLines.length + 1);

const readCart = (cart) => get(
  'cart', `/Carts('${cart.Id}')?${VERSION}`,
  (answer) => answer.Id === cart.Id && answer.Version === cart.Version);

// -------------------------------------------------------------------------------------- sending

const QUIET = { tags: { name: 'loadtest', kind: 'loadtest' } };
const HEADERS = { OUN, 'Content-Type': 'application/json', Accept: 'application/json' };

const params = (question, headers) => ({
  headers: { ...HEADERS, ...headers },
  tags: { name: question.kind, kind: question.kind },
  timeout: '60s',
  responseCallback: http.expectedStatuses(question.status || 200),
});

// Asks, and holds against the answer what its question says is right. Null where there is none.
export function ask(question, headers = {}) {
  return judge(question, http.request(
    question.method, BASE + question.path, question.body, params(question, headers)));
}

// Several at once, as a page does.
export function askAll(questions, headers = {}) {
  const sent = questions.map((question) => (
    [question.method, BASE + question.path, question.body, params(question, headers)]));
  return http.batch(sent).map((response, at) => judge(questions[at], response));
}

export async function askLater(question, headers = {}) {
  const { method, path, body } = question;
  return judge(question, await http.asyncRequest(method, BASE + path, body, params(question, headers)));
}

// The answer alone, without holding anything against it: null where there is none.
export function peek(question, headers = {}) {
  const response = http.request(question.method, BASE + question.path, question.body, {
    headers: { ...HEADERS, ...headers }, tags: QUIET.tags, responseCallback: null,
  });
  return response.status === 200 ? read(response) : null;
}

function judge(question, response) {
  const { kind } = question;
  const status = response.headers['Cache-Status'] || '';
  const isHit = /csu-edge; hit/.test(status);
  const isWrite = kind === 'cart';
  answers.add(1, { kind });
  if (isMeasured()) {
    (isWrite ? writeMs : readMs).add(response.timings.duration, { kind });
    if (!isWrite) hits.add(isHit, { kind });
    if (isHit) hitMs.add(response.timings.duration, { kind });
  }
  if (status.includes('stale-if-error')) stale.add(1, { kind });
  const hasAnswered = response.status === (question.status || 200);
  failures.add(!hasAnswered, { kind });
  if (!hasAnswered) {
    complain(`${kind}: ${response.status} ${response.error || response.body}; ${status}`);
    return null;
  }
  const answer = read(response);
  // A cart that came from a store would be somebody's.
  const isRight = answer !== null && isTrue(() => question.isRight(answer)) && !(isWrite && isHit);
  wrong.add(isRight ? 0 : 1, { kind });
  if (!isRight) complain(`${kind}: a wrong answer: ${String(response.body).slice(0, 300)}; ${status}`);
  return isRight ? answer : null;
}

function read(response) {
  try {
    return JSON.parse(response.body);
  } catch {
    return null;
  }
}

function isTrue(test) {
  try {
    return test() === true;
  } catch {
    return false;
  }
}

// The first few of each user are enough to know what went wrong.
let complaints = 0;
export function complain(what) {
  complaints += 1;
  if (complaints <= 3) console.error(what.slice(0, 500));
}

// ----------------------------------------------------------------------------------- page views

// A visitor's next page. The shares are those of a shop: half of all views are product pages, a
// quarter are listings (each with its prices, and seldom beyond the second page), a sixth searches;
// six in a hundred put something into a cart.
export function pageView(pick, { carts = true } = {}) {
  const at = Math.random();
  const id = productAt(pick());
  if (at < 0.5) askAll([product(id), prices([id]), availability([id])]);
  else if (at < 0.76) listingPage();
  else if (at < 0.94) ask(search(anyOf(WORDS)));
  else if (carts) cart(id, productAt(pick()));
  else ask(prices([id]));
}

function listingPage() {
  const page = Math.random() < 0.8 ? 0 : 1;
  const shown = ask(listing(anyOf(CATEGORIES), page));
  if (shown === null || shown.value.length === 0) return;
  const ids = shown.value.map((row) => row.RecordId);
  askAll([prices(ids), availability(ids)]);
}

export function cart(first, second) {
  const made = ask(newCart(first));
  const filled = made && ask(moreLines(made, second));
  if (filled) ask(readCart(filled));
}

// ------------------------------------------------------------------------------ the stand-in's side

function order(method, address, body, headers = { 'Content-Type': 'application/json' }) {
  const response = http.request(method, address, body === null ? null : JSON.stringify(body),
    { ...QUIET, headers, timeout: '60s' });
  if (response.status !== 200) fail(`${method} ${address}: ${response.status} ${response.error || response.body}`);
  return response;
}

export const sandbox = (method, path, body = null) => (
  order(method, `${SANDBOX}/sandbox/${path}`, body).json());
export const operator = (path) => order('POST', `${OPERATOR}/${path}`, {});
export const control = (path, body) => order('POST', `${CONTROL}/${path}`, body).json();

// Counts what reaches the stand-in from here on.
export function beginCounting() {
  if (SANDBOX) sandbox('DELETE', 'stats');
}

export function endCounting() {
  if (!SANDBOX) return;
  const told = sandbox('GET', 'stats');
  for (const name of Object.keys(told).filter((each) => each !== 'inBatches')) {
    (name.startsWith('Carts') ? originWrites : originReads).add(told[name], { operation: name });
  }
}

export const bearer = (customer, validFor) => (
  { Authorization: `id_token ${sandbox('POST', 'tokens', { customerId: customer, validFor }).token}` });

// Changes a price and has it pushed. The promise is about when this has returned true.
export async function changePrice(id, price, customer = null) {
  const body = JSON.stringify({ productId: id, price, ...(customer ? { customerId: customer } : {}) });
  const response = await http.asyncRequest('POST', `${SANDBOX}/sandbox/prices`, body,
    { ...QUIET, headers: { 'Content-Type': 'application/json' }, timeout: '60s' });
  if (response.status !== 200) complain(`prices: ${response.status} ${response.error || response.body}`);
  const told = response.status === 200 ? read(response) : null;
  if (told && told.error) complain(`the event was not acknowledged: ${told.error}`);
  return told !== null && told.pushed === true;
}

// Sends an event to the ingest listener, signed as Standard Webhooks has it.
export function push(type, data) {
  const id = `msg_${encoding.b64encode(crypto.randomBytes(18), 'rawurl')}`;
  const body = JSON.stringify({ specversion: '1.0', id, source: '/csu-edge-loadtest', type, data });
  const secret = encoding.b64decode(text('INGEST_SECRET').replace(/^whsec_/, ''));
  const timestamp = Math.floor(Date.now() / 1000);
  const signature = crypto.hmac('sha256', secret, `${id}.${timestamp}.${body}`, 'base64');
  const response = http.post(INGEST, body, {
    ...QUIET,
    headers: {
      'Content-Type': 'application/cloudevents+json',
      'webhook-id': id,
      'webhook-timestamp': String(timestamp),
      'webhook-signature': `v1,${signature}`,
    },
  });
  if (response.status !== 200) complain(`ingest: ${response.status} ${response.error || response.body}`);
  return response.status === 200;
}

// A price tells when it was set: milliseconds since 2026 began.
const EPOCH = Date.UTC(2026, 0, 1);
export const priceNow = () => Date.now() - EPOCH;

// What one user has changed, and when that was acknowledged. No other user changes these products.
export class Ledger {
  constructor() {
    this.entries = new Map();
  }

  acknowledge(id, price) {
    const entries = this.entries.get(id) || [];
    entries.push({ price, at: Date.now() });
    this.entries.set(id, entries);
  }

  // The oldest price that may be told of a product to who asks at a moment; 0 where any may.
  least(id, askedAt) {
    const stands = (this.entries.get(id) || []).filter(({ at }) => at + PROMISE_MS <= askedAt);
    return stands.reduce((most, { price }) => Math.max(most, price), 0);
  }
}

export const pause = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });

// The value of a series of the control port's metrics; the sum where labels are left out.
export function metric(exposition, name, labels = '') {
  let sum = 0;
  for (const line of exposition.split('\n')) {
    if (line.startsWith(`${name}{`) || line.startsWith(`${name} `)) {
      if (line.includes(labels)) sum += Number(line.slice(line.lastIndexOf(' ') + 1));
    }
  }
  return sum;
}

export const scrape = () => order('GET', `${CONTROL}/metrics`, null, {}).body;
