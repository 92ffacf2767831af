// Elements, and how amounts are written.

/**
 * An element. Members of `properties` that begin with "on" are event handlers, `data` becomes data-*
 * attributes, null and false are left out; everything else is an attribute.
 */
export function h(name, properties, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(properties ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key === "data") Object.assign(element.dataset, value);
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

const formats = new Map();

/** An amount of money in the reader's language. */
export function money(amount, currency, language) {
  const key = `${language} ${currency}`;
  if (!formats.has(key)) {
    formats.set(key, new Intl.NumberFormat(language, { style: "currency", currency }));
  }
  return formats.get(key).format(amount);
}

/** Resolves once what is in the document now has been painted. */
export function painted() {
  return new Promise((resolve) => {
    requestAnimationFrame(() => {
      const { port1, port2 } = new MessageChannel();
      port1.onmessage = () => resolve();
      port2.postMessage(null);
    });
  });
}
