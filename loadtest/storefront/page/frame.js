// What stands around every page: the header, what is announced, errors, and the list of requests.

import * as cart from "./cart.js";
import { h } from "./dom.js";
import { server } from "./shop.js";

const main = document.getElementById("main");
const announcement = document.getElementById("announcement");
const calls = document.getElementById("calls");

/** Shows a page: its title for the window, and its content. */
export function show(title, ...content) {
  document.title = `${title} – Storefront`;
  main.replaceChildren(...content);
}

export function setBusy(isBusy) {
  main.setAttribute("aria-busy", String(isBusy));
}

/** Moves to the top of a page that replaced another, as a browser does with a new document. */
export function focusMain() {
  scrollTo(0, 0);
  main.focus({ preventScroll: true });
}

/** Tells readers of screens. */
export function announce(text) {
  announcement.textContent = text;
}

/** In place of a page that could not be had. */
export function showError(error, retry) {
  show("Error", h("div", { class: "error", role: "alert" },
    h("h1", {}, "This page cannot be shown"),
    h("p", {}, error.message),
    h("p", { class: "detail" }, detailOf(error)),
    h("button", { type: "button", onclick: retry }, "Try again")));
}

/** Beside a page of which a part could not be had. */
export function warning(errors) {
  if (!errors.length) return null;
  const texts = [...new Set(errors.map((error) => `${error.message} (${detailOf(error)})`))];
  return h("div", { class: "error", role: "alert" },
    h("p", {}, "Some of this page is missing."), h("ul", {}, texts.map((text) => h("li", {}, text))));
}

export function detailOf(error) {
  return [error.operation, error.status, error.code].filter(Boolean).join(" · ") || error.name;
}

/** The departments, and where in them the page is. */
export function showDepartments({ root }, current) {
  if (!root) return;
  document.getElementById("departments").replaceChildren(...root.children.map(({ id, name }) =>
    h("li", {}, h("a", { href: `?category=${id}`, "aria-current": id === current ? "page" : null }, name))));
}

export function showChannel({ name }) {
  if (name) document.getElementById("shop-name").textContent = name;
}

export function showSearchText(text) {
  document.getElementById("q").value = text ?? "";
}

function showCartCount(count) {
  document.getElementById("cart-count").textContent = count ? `(${count})` : "";
}

addEventListener("cart", ({ detail }) => showCartCount(detail));
showCartCount(cart.remembered().count);

/** How the page's requests were answered. Rows are made when somebody wants to see them. */
export function showCalls() {
  const asked = server.calls;
  const hits = asked.filter(({ cache }) => /;\s*hit/.test(cache ?? "")).length;
  calls.querySelector("summary").textContent =
    `Requests of this page: ${asked.length}${hits ? `, ${hits} of them answered by a cache` : ""}`;
  if (calls.open) listCalls();
}

function listCalls() {
  const rows = server.calls.map(({ method, operation, status, took, cache }) => h("tr", {},
    h("td", {}, `${method} ${operation}`), h("td", {}, status ?? "–"),
    h("td", {}, took === undefined ? "…" : `${took.toFixed(0)} ms`), h("td", {}, cache ?? "–")));
  calls.querySelector("div").replaceChildren(h("table", {},
    h("thead", {}, h("tr", {}, ["Operation", "Status", "Time", "Cache-Status"].map((name) => h("th", { scope: "col" }, name)))),
    h("tbody", {}, rows)));
}

calls.addEventListener("toggle", () => calls.open && listCalls());
