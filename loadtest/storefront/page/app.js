// From the URL to the page: which one it is, and what happens when it changes.

import { showCart } from "./basket.js";
import { painted } from "./dom.js";
import { focusMain, setBusy, showCalls, showChannel, showError } from "./frame.js";
import { parse, showListing } from "./listing.js";
import { showProduct } from "./product.js";
import { channel, server } from "./shop.js";

let current = new AbortController();

function pageOf(parameters) {
  const product = parameters.get("product");
  if (/^\d{1,15}$/.test(product ?? "")) return (tools) => showProduct(Number(product), tools);
  if (parameters.has("cart")) return showCart;
  return (tools) => showListing(parse(parameters), tools);
}

/** Shows what the URL names. What the page before still waited for is dropped. */
async function open() {
  current.abort();
  current = new AbortController();
  const { signal } = current;
  setBusy(true);
  delete document.documentElement.dataset.page;
  server.forgetCalls();
  try {
    await pageOf(new URLSearchParams(location.search))({ navigate, signal });
    showChannel(await channel());
    finish("whole", signal);
  } catch (error) {
    if (signal.aborted) return;
    console.error(error);
    showError(error, open);
    finish("failed", signal);
  }
}

/** Says, for whoever measures, that nothing of the page is missing and that it has been painted. */
async function finish(outcome, signal) {
  if (signal.aborted) return;
  setBusy(false);
  showCalls();
  await painted();
  if (signal.aborted) return;
  performance.mark(`page-${outcome}`);
  document.documentElement.dataset.page = outcome;
}

function navigate(address) {
  history.pushState(null, "", address);
  open();
  focusMain();
}

document.addEventListener("click", (event) => {
  const link = event.target.closest?.("a[href]");
  if (!link || event.defaultPrevented || event.button !== 0) return;
  if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey || link.target) return;
  const { origin, pathname, hash } = new URL(link.href);
  if (origin !== location.origin || pathname !== location.pathname || hash) return;
  event.preventDefault();
  navigate(link.href);
});

document.getElementById("search").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = new FormData(event.target).get("q").trim();
  navigate(text ? `?q=${encodeURIComponent(text)}` : "./");
});

addEventListener("popstate", open);
open();
