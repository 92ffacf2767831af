// The console in a real browser, on a real node with load: what it shows, and to whom.
//
//   CSU_EDGE_PROGRAMS=target/debug node --test tests/console/console.test.mjs
//
// CHROMIUM names the browser (default: chromium); with CSU_EDGE_SCREENSHOTS=docs the pictures of
// docs/console.md are made anew.

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { chromium } from 'playwright-core';

import { PATIENCE_MS, Redis, Shop } from './nodes.mjs';
import { focused, lowContrast, unnamed } from './page.mjs';

const HOSTILE = '<img/src=x/onerror=window.hacked=1><script>window.hacked=2</script>';
const STATUS = '/status';

let browser, shop;

before(async () => {
  shop = await Shop.open();
  browser = await chromium.launch({
    executablePath: process.env.CHROMIUM || '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
      '--disable-background-networking', '--disable-component-update', '--disable-sync'],
  });
});

after(async () => {
  await browser?.close();
  await shop?.close();
});

/** The console in a window of its own; `seen` collects what went wrong in it and what it asked for. */
async function open(options = {}, at = shop) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  context.setDefaultTimeout(PATIENCE_MS);
  const page = await context.newPage(), seen = { errors: [], requests: [] };
  page.on('console', message => { if (message.type() === 'error') seen.errors.push(message.text()); });
  page.on('pageerror', error => seen.errors.push(String(error)));
  page.on('request', request => seen.requests.push(request.url()));
  await page.goto(`${at.control}/console`);
  await page.locator('#ready', { hasText: 'ready' }).waitFor();
  const close = () => {
    assert.deepEqual(seen.errors, []);
    const elsewhere = seen.requests.filter(url => !url.startsWith(at.control) && !url.startsWith('data:'));
    assert.deepEqual(elsewhere, []);
    return context.close();
  };
  return { context, page, seen, close };
}

const text = (page, id) => page.locator(`#${id}`).textContent();
const becomes = (page, id, pattern) => page.locator(`#${id}`, { hasText: pattern }).waitFor();
const polls = seen => seen.requests.filter(url => url.endsWith(STATUS)).length;
const polled = async (page, times) => { for (let at = 0; at < times; at += 1) await page.waitForResponse(`**${STATUS}`); };

async function tabTo(page, id) {
  for (let stop = 0; stop < 80; stop += 1) {
    if ((await page.evaluate(focused)).id === id) return;
    await page.keyboard.press('Tab');
  }
  assert.fail(`the keyboard does not reach ${id}`);
}

test('what the node counts appears and changes', async () => {
  const { page, close } = await open();
  const stop = shop.load();
  await becomes(page, 'by-result', /miss/);
  const row = page.locator('#by-result tr', { hasText: /^hit\d/ });
  await row.waitFor();
  const count = async () => Number((await row.locator('td').last().textContent()).replaceAll(',', ''));
  const first = await count();
  assert.ok(first > 0);
  await page.waitForFunction(before => {
    const cells = [...document.querySelectorAll('#by-result tr')].find(row => row.cells[0].textContent === 'hit')?.cells;
    return Number(cells?.[2].textContent.replaceAll(',', '')) > before;
  }, first);
  await becomes(page, 't-rate', /^[1-9]/);
  await becomes(page, 't-ratio', /^[1-9][\d.]* %$/);
  await becomes(page, 't-p99', /(µs|ms|s)$/);
  for (const [id, pattern] of [['by-class', /price ?\d\d\.\d %/], ['by-operation', /Products\/GetActivePrices/], ['by-latency', /all/],
    ['by-origin-latency', /fetch/], ['by-outcome', /fetch2xx/], ['gate', /closed/], ['stored', /of 512\.0 MiB/],
    ['members', /no \[redis\]/], ['by-refusal', /None/]]) await becomes(page, id, pattern);
  await page.waitForFunction(() => (document.querySelector('#chart .line.hit')?.getAttribute('d') || '').includes('L'));
  assert.match(await text(page, 'chart-text'), /^Now [1-9].* a second from the store/);
  await stop();
  await shop.purge('price/item:82001');
  await becomes(page, 'feed', /operatorhardprice\/item:82001/);
  await shop.push({ type: 'csu.cdx.product.changed', products: ['68719489871'] });
  await becomes(page, 'feed', /eventsoft.*product\/product:68719489871/);
  await close();
});

test('what other systems say is shown as text and is never markup', async () => {
  const { page, close } = await open();
  await shop.purge(`price/item:${HOSTILE}`);
  await shop.push({ specversion: '1.0', id: HOSTILE, source: HOSTILE, type: HOSTILE, data: { a: HOSTILE } });
  await becomes(page, 'feed', HOSTILE.toLowerCase());
  await becomes(page, 'dead', HOSTILE);
  await page.fill('#url', `/Commerce/GetChannels()?api-version=7.3&x=${HOSTILE.replaceAll(/[<>]/g, '')}`);
  await page.fill('#fields', `${HOSTILE}: x`);
  await page.click('text="Explain"');
  await becomes(page, 'answer', HOSTILE);
  assert.equal(await page.evaluate(() => window.hacked), undefined);
  assert.equal(await page.locator('main img, main script').count(), 0);
  // The policy holds, too, where the page itself would be wrong.
  const refused = await page.evaluate(() => { try { document.body.innerHTML = '<b>x</b>'; } catch (error) { return error.name; } });
  assert.equal(refused, 'TypeError');
  const context = page.context();
  await context.close();
});

test('a request is explained by the keyboard alone', async () => {
  const { page, close } = await open();
  await shop.price(68719489871);
  await page.keyboard.press('Tab');
  assert.deepEqual(await page.evaluate(focused), { tag: 'A', id: '', text: 'Skip to content', isSeen: true });
  await page.keyboard.press('Enter');
  assert.equal((await page.evaluate(focused)).id, 'content');
  await tabTo(page, 'method');
  await page.keyboard.type('POST');
  await page.keyboard.press('Tab');
  assert.equal((await page.evaluate(focused)).id, 'url');
  await page.keyboard.press('Control+A');
  await page.keyboard.type('/Commerce/Products/GetActivePrices?api-version=7.3');
  await page.keyboard.press('Tab');
  await page.keyboard.type('OUN: 128');
  await page.keyboard.press('Enter');
  await page.keyboard.type('Accept-Language: en-US');
  await page.keyboard.press('Enter');
  await page.keyboard.type('Content-Type: application/json');
  await page.keyboard.press('Tab');
  await page.keyboard.type('{"projectDomain":{"ChannelId":5637154326,"CatalogId":0},"productIds":[68719489871]}');
  await page.keyboard.press('Tab');
  assert.ok((await page.evaluate(focused)).isSeen);
  await page.keyboard.press('Enter');
  await becomes(page, 'answer', /served from the store: fresh/);
  assert.deepEqual([(await page.evaluate(focused)).id, (await page.evaluate(focused)).isSeen], ['answer', true]);
  for (const part of [/OperationProducts\/GetActivePrices/, /OUN128/, /Tags.*price\/product:68719489871/, /Fresh for300 s \(5 min\)/]) {
    assert.match(await text(page, 'answer'), part);
  }
  await page.keyboard.press('Shift+Tab');
  assert.equal((await page.evaluate(focused)).tag, 'BUTTON');
  await close();
});

test('a question that cannot be read is refused in words', async () => {
  const { page, context } = await open();
  await page.fill('#fields', 'no colon');
  await page.click('text="Explain"');
  await becomes(page, 'answer', /“no colon” is not written as Name: value/);
  await page.fill('#fields', '');
  await page.fill('#url', '/x y');
  await page.click('text="Explain"');
  await becomes(page, 'answer', /`url`: invalid uri character/);
  await context.close();
});

test('every stop of the keyboard has a name and shows where it is', async () => {
  const { page, close } = await open();
  const stops = [];
  await page.keyboard.press('Tab');
  for (let stop = await page.evaluate(focused); stop.tag !== 'BODY' && stops.length < 80; stop = await page.evaluate(focused)) {
    stops.push(stop);
    assert.ok(stop.isSeen, JSON.stringify(stop));
    await page.keyboard.press('Tab');
  }
  assert.ok(stops.length > 15 && stops.length < 80, `${stops.length} stops`);
  assert.deepEqual(await page.evaluate(unnamed), []);
  await close();
});

for (const colorScheme of ['light', 'dark']) {
  test(`it can be read in ${colorScheme}`, async () => {
    const { page, close } = await open({ colorScheme });
    const stop = shop.load();
    await becomes(page, 't-rate', /^[1-9]/);
    await polled(page, process.env.CSU_EDGE_SCREENSHOTS ? 20 : 3);
    const background = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    assert.equal(background, colorScheme === 'light' ? 'rgb(244, 245, 247)' : 'rgb(15, 19, 23)');
    const { seen, found } = await page.evaluate(lowContrast);
    assert.ok(seen > 80, `${seen} texts`);
    assert.deepEqual(found, []);
    await page.screenshot({ path: picture(`console-${colorScheme}.png`) });
    await stop();
    await close();
  });
}

function picture(name) {
  return process.env.CSU_EDGE_SCREENSHOTS ? join(process.env.CSU_EDGE_SCREENSHOTS, name) : undefined;
}

test('a phone shows all of it without scrolling sideways', async () => {
  const { page, close } = await open({ viewport: { width: 360, height: 740 } });
  await shop.purge(`price/item:${'x'.repeat(250)}`);
  await becomes(page, 'feed', /xxxxx/);
  await page.fill('#fields', 'OUN: 128');
  await page.click('text="Explain"');
  await becomes(page, 'answer', /What this node would do/);
  await page.click('text="As data"');
  const [wide, room] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
  assert.equal(wide, room);
  await page.evaluate(() => scrollTo(0, 0));
  await page.screenshot({ path: picture('console-phone.png') });
  await close();
});

test('it asks nothing while it is not seen or is paused, and tells no screen reader what only counts', async () => {
  const { page, seen, close } = await open();
  await page.evaluate(() => {
    window.told = 0;
    const observer = new MutationObserver(changes => { window.told += changes.length; });
    document.querySelectorAll('[role=alert], [role=status], [aria-live]').forEach(region =>
      observer.observe(region, { childList: true, characterData: true, subtree: true, attributes: true, attributeFilter: ['role'] }));
  });
  const stop = shop.load();
  await polled(page, 3);
  await stop();
  assert.equal(await page.evaluate(() => window.told), 0);
  const hide = hidden => page.evaluate(value => {
    Object.defineProperty(document, 'hidden', { configurable: true, get: () => value });
    document.dispatchEvent(new Event('visibilitychange'));
  }, hidden);
  // Longer than two polls take: there is no event for a request that is not made.
  const silence = async () => { const before = polls(seen); await page.waitForTimeout(5_000); return polls(seen) - before; };
  await polled(page, 1);
  await hide(true);
  assert.equal(await silence(), 0);
  const resumed = page.waitForResponse(`**${STATUS}`);
  await hide(false);
  await resumed;
  await polled(page, 1);
  await page.click('#pause');
  assert.equal(await page.getAttribute('#pause', 'aria-pressed'), 'true');
  assert.equal(await silence(), 0);
  await page.click('#pause');
  await polled(page, 1);
  await close();
});

test('it says when the node does not answer, and when it does again', async () => {
  const { page, context } = await open();
  assert.equal(await text(page, 'alarm'), '');
  await shop.endNode();
  await becomes(page, 'alarm', /does not answer since \d\d:\d\d:\d\d/);
  await shop.restartNode();
  await page.waitForFunction(() => document.getElementById('alarm').textContent === '');
  assert.match(await text(page, 'ready'), /^ready/);
  await context.close();
});

test('a node of a fleet shows the others, what they purge, and that Redis is away', async () => {
  const redis = await Redis.start(), shops = [];
  try {
    for (const name of ['edge-1', 'edge-2']) shops.push(await Shop.open(`redis = { url = '${redis.url}', node = '${name}' }`));
    const { page, close } = await open({}, shops[0]);
    await becomes(page, 'members', /edge-1 \(this node\)/);
    await becomes(page, 'members', /edge-2/);
    await shops[1].purge('price/item:82000');
    await becomes(page, 'feed', /other-nodehardprice\/item:82000/);
    const applied = name => page.locator('#members tr', { hasText: name }).locator('td').first();
    const sequence = (await text(page, 't-purge')).trim();
    for (const name of ['edge-1', 'edge-2']) await applied(name).filter({ hasText: new RegExp(`^${sequence} `) }).waitFor();
    await becomes(page, 'stored', /Redis, linksbeat closed/);
    assert.equal(await text(page, 'trouble'), '');
    await redis.end();
    await becomes(page, 'ready', 'ready, degraded');
    await becomes(page, 'trouble', /Degraded: redis-tier.*purge-plane/);
    await becomes(page, 'members', /Redis does not tell/);
    await becomes(page, 't-purge-more', /fenced: nothing strict from store/);
    await close();
  } finally {
    for (const one of shops) await one.close();
    await redis.end();
  }
});
