// Put into each page before its own scripts: what it was like to wait for it.
//
// Time to interactive is Google's definition (Lighthouse's "interactive", which it had until version 9):
// look for a window without long tasks (over 50 ms) and without requests; what ended last before it, of
// the first contentful paint, DOMContentLoaded and the long tasks, is the moment. Two things are stricter
// here: the window must have no request at all, where the definition allows two; and the page itself must
// have said that everything on it is there and painted, event handlers included (the mark "page-whole").
"use strict";

globalThis.waiting = (() => {
  const tasks = [];
  let largest = null;
  const observe = (type, note) => {
    new PerformanceObserver((list) => list.getEntries().forEach(note)).observe({ type, buffered: true });
  };
  observe("longtask", ({ startTime, duration }) => tasks.push({ began: startTime, ended: startTime + duration }));
  observe("largest-contentful-paint", (entry) => {
    largest = { at: entry.startTime, what: entry.element?.localName ?? entry.url };
  });

  const mark = (name) => performance.getEntriesByName(name)[0]?.startTime;
  const latest = (moments) => moments.reduce((last, moment) => Math.max(last, moment), 0);

  function told(outcome) {
    const [navigation] = performance.getEntriesByType("navigation");
    const firstPaint = mark("first-contentful-paint");
    const whole = mark(`page-${outcome}`);
    return {
      outcome,
      first_contentful_paint_ms: firstPaint,
      largest_contentful_paint_ms: largest?.at,
      largest_content: largest?.what,
      whole_ms: whole,
      long_tasks_ms: tasks.map(({ began, ended }) => [began, ended]),
      asked: performance.getEntriesByType("resource").map(({ name, initiatorType }) => ({ url: name, by: initiatorType })),
      interactive_ms: latest([firstPaint, navigation.domContentLoadedEventEnd, whole, ...tasks.map(({ ended }) => ended)]),
    };
  }

  /** Resolves once the page has been quiet for so long, with what was seen; rejects at the limit. */
  return function waiting(quietMs, limitMs) {
    return new Promise((resolve, reject) => {
      const look = () => {
        const now = performance.now();
        const outcome = ["whole", "failed"].find((name) => mark(`page-${name}`) !== undefined);
        const busyUntil = latest([
          mark(`page-${outcome}`) ?? now,
          ...tasks.map(({ ended }) => ended),
          ...performance.getEntriesByType("resource").map(({ responseEnd }) => responseEnd),
        ]);
        if (outcome && now - busyUntil >= quietMs) resolve(told(outcome));
        else if (now > limitMs) reject(new Error(`the page is not quiet after ${limitMs} ms`));
        else setTimeout(look, 100);
      };
      look();
    });
  };
})();
