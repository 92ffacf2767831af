// A listing: products of a category or found by a text, with what narrows them.

import { h } from "./dom.js";
import { announce, setBusy, show, showDepartments, showSearchText, warning } from "./frame.js";
import { PAGE_SIZE, categories, channel, refiners, search } from "./shop.js";
import { failures, fillTiles, tile } from "./tile.js";

const EAGER_IMAGES = 6;
const ORDERS = [["", "Relevance"], ["price", "Price, lowest first"], ["price-desc", "Price, highest first"], ["name", "Name"]];

/** What a URL asks for. */
export function parse(parameters) {
  const number = (name, otherwise) => {
    const value = parameters.get(name) ?? "";
    return /^\d{1,15}$/.test(value) && Number(value) > 0 ? Number(value) : otherwise;
  };
  return {
    category: number("category", null),
    text: parameters.get("q")?.trim().slice(0, 100) || null,
    refinements: parameters.getAll("r").map(parseRefinement).filter(Boolean),
    order: parameters.get("sort") ?? "",
    page: number("page", 1),
  };
}

function parseRefinement(text) {
  const [, refiner, source, type, value] = /^(\d{1,15})\.(\d{1,3})\.(\d{1,3})\.(.+)$/.exec(text) ?? [];
  return refiner ? { refiner: Number(refiner), source: Number(source), type: Number(type), value } : null;
}

const spell = ({ refiner, source, type, value }) => `${refiner}.${source}.${type}.${value}`;

/** The URL of a listing that differs from `asked` in `changes`; of its first page, unless they say so. */
function address(asked, changes) {
  const { category, text, refinements, order, page } = { ...asked, page: 1, ...changes };
  const parameters = new URLSearchParams();
  if (category) parameters.set("category", category);
  if (text) parameters.set("q", text);
  for (const refinement of refinements) parameters.append("r", spell(refinement));
  if (order) parameters.set("sort", order);
  if (page > 1) parameters.set("page", page);
  const query = parameters.toString();
  return query ? `?${query}` : "./";
}

/** Shows a listing. Resolves when all of it is in the document, event handlers included. */
export async function showListing(asked, { navigate, signal }) {
  showSearchText(asked.text);
  // Everything is the root category; where it is asked for, the tree must be there first.
  if (!asked.category && !asked.text) asked = { ...asked, category: (await categories()).root?.id ?? null };
  const narrowing = Promise.allSettled([categories(), refiners(asked, signal)]);
  const [{ currency }, { products, count }] = await Promise.all([channel(), search(asked, signal)]);
  const tiles = products.map((found, at) => tile(found, { eager: at < EAGER_IMAGES }));
  const [tree, groups] = await narrowing;
  signal.throwIfAborted();
  const category = tree.value?.byId.get(asked.category);
  if (tree.value) showDepartments(tree.value, asked.category);
  const title = asked.text ? `Results for “${asked.text}”` : category?.name ?? "Products";
  const notice = h("div", {});
  show(title,
    breadcrumbs(tree.value, category),
    h("h1", {}, title),
    notice,
    h("div", { class: "listing" },
      filters(asked, category, groups.value ?? [], navigate),
      h("section", { "aria-label": "Products" },
        h("div", { class: "tools" },
          h("p", { id: "count" }, count === 1 ? "1 product" : `${count} products`),
          sorting(asked, navigate)),
        tiles.length
          ? h("ul", { class: "tiles", id: "products" }, tiles.map(({ element }) => element))
          : h("p", { class: "empty" }, "Nothing was found. Another word, or fewer filters, may help."),
        pages(asked, count))));
  setBusy(true);
  const missing = await fillTiles(tiles, currency, signal);
  const told = warning([...missing, ...failures([tree, groups])]);
  if (told) notice.append(told);
  announce(`${title}: ${count} products`);
}

function breadcrumbs(tree, category) {
  const trail = [];
  for (let at = tree?.byId.get(category?.parent); at; at = tree.byId.get(at.parent)) trail.unshift(at);
  if (!trail.length) return "";
  return h("nav", { "aria-label": "Breadcrumbs", class: "trail" },
    h("ol", {}, trail.map(({ id, name }) => h("li", {}, h("a", { href: `?category=${id}` }, name)))));
}

function filters(asked, category, groups, navigate) {
  const chosen = new Set(asked.refinements.map(spell));
  const choose = ({ target }) => {
    const without = asked.refinements.filter((refinement) => spell(refinement) !== target.value);
    navigate(address(asked, { refinements: target.checked ? [...without, parseRefinement(target.value)] : without }));
  };
  const children = category?.children ?? [];
  const isWide = matchMedia("(min-width: 48rem)").matches;
  return h("details", { class: "filters", open: isWide || chosen.size > 0 },
    h("summary", {}, chosen.size ? `Filters (${chosen.size})` : "Filters"),
    children.length ? h("nav", { "aria-label": "Categories" },
      h("ul", {}, children.map(({ id, name }) => h("li", {}, h("a", { href: `?category=${id}` }, name))))) : null,
    groups.filter(({ Values }) => Values?.length).map((group) => h("fieldset", {},
      h("legend", {}, group.KeyName),
      group.Values.map((row) => {
        const value = spell({ refiner: row.RefinerRecordId, source: row.RefinerSourceValue, type: row.DataTypeValue, value: row.LeftValueBoundString });
        return h("label", {},
          h("input", { type: "checkbox", value, checked: chosen.has(value), onchange: choose }),
          ` ${row.LeftValueBoundLocalizedString || row.LeftValueBoundString} `,
          h("span", { class: "count" }, `(${row.Count})`));
      }))),
    chosen.size ? h("a", { href: address(asked, { refinements: [] }) }, "Clear all filters") : null);
}

function sorting(asked, navigate) {
  return h("label", {}, "Sort by ",
    h("select", { id: "sort", onchange: ({ target }) => navigate(address(asked, { order: target.value })) },
      ORDERS.map(([value, name]) => h("option", { value, selected: value === asked.order }, name))));
}

function pages(asked, count) {
  const last = Math.ceil(count / PAGE_SIZE);
  if (last < 2) return "";
  const link = (page, name) => h("a", { href: address(asked, { page }), rel: name === "Next" ? "next" : "prev" }, name);
  return h("nav", { class: "pages", "aria-label": "Pages" },
    asked.page > 1 ? link(Math.min(asked.page - 1, last), "Previous") : null,
    h("span", {}, `Page ${asked.page} of ${last}`),
    asked.page < last ? link(asked.page + 1, "Next") : null);
}
