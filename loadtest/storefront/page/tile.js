// A product in a list, and the prices and stock levels that such lists show.

import { h, money } from "./dom.js";
import { imageUrl, language, prices, stock } from "./shop.js";

/** A product's name, image and brand; its price and stock level come later, by `fill`. */
export function tile(found, { eager }) {
  const price = h("span", { class: "price" }, "\u2007");
  const level = h("span", { class: "level" }, "\u2007");
  const brand = found.AttributeValues?.find((attribute) => attribute.KeyName === "Brand")?.TextValue;
  const element = h("li", { class: "tile" },
    h("img", {
      src: imageUrl(found.PrimaryImageUrl), alt: "", width: 240, height: 240, decoding: "async",
      loading: eager ? "eager" : "lazy",
    }),
    h("a", { href: `?product=${found.RecordId}` }, found.Name),
    brand ? h("span", { class: "brand" }, brand) : null,
    price, level);
  return {
    id: found.RecordId,
    element,
    fill(itsPrice, itsStock, currency) {
      price.replaceChildren(...priceParts(itsPrice, currency));
      fillLevel(level, itsStock);
    },
  };
}

/** Asks for the prices and the stock levels of all tiles, in one call each; tells what failed. */
export async function fillTiles(tiles, currency, signal) {
  const ids = tiles.map(({ id }) => id);
  const [priced, stocked] = await Promise.allSettled([prices(ids, signal), stock(ids, signal)]);
  signal.throwIfAborted();
  for (const each of tiles) {
    each.fill(priced.value?.get(each.id), stocked.value?.get(each.id), currency);
  }
  return failures([priced, stocked]);
}

export const failures = (settled) => settled.filter(({ status }) => status === "rejected").map(({ reason }) => reason);

/** A price; from the cheapest variant on, where they differ; beside what it was, where it is less. */
export function priceParts(price, currency) {
  if (!price) return [h("span", { class: "unknown" }, "Price not available")];
  const say = (amount) => money(amount, price.CurrencyCode || currency, language);
  const now = price.CustomerContextualPrice || price.AdjustedPrice;
  if (price.MaxVariantPrice > price.MinVariantPrice) return [`from ${say(price.MinVariantPrice)}`];
  if (price.BasePrice <= now) return [say(now)];
  return [
    h("span", { class: "unseen" }, "now "), say(now), " ",
    h("span", { class: "unseen" }, "before "), h("s", {}, say(price.BasePrice)),
  ];
}

/** A stock level as the channel words it. */
export function fillLevel(element, level) {
  element.textContent = level?.PhysicalAvailableInventoryLevelLabel || "Stock not known";
  element.dataset.level = level?.PhysicalAvailableInventoryLevelCode ?? "";
}

export const isInStock = (level) => level === undefined || level.PhysicalAvailableInventoryLevelCode !== "OOS";
