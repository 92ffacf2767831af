// A product's page.

import * as cart from "./cart.js";
import { h } from "./dom.js";
import { announce, detailOf, setBusy, show, showDepartments, showSearchText, warning } from "./frame.js";
import * as shop from "./shop.js";
import { failures, fillLevel, fillTiles, isInStock, priceParts, tile } from "./tile.js";

/** Shows a product. Resolves when all of it is in the document, event handlers included. */
export async function showProduct(id, { signal }) {
  showSearchText(null);
  const beside = Promise.allSettled([
    shop.prices([id], signal), shop.stock([id], signal), shop.attributes(id, signal), shop.media(id, signal),
    shop.recommended(id, signal), shop.categories(),
  ]);
  const [{ currency }, found] = await Promise.all([shop.channel(), shop.product(id, signal)]);
  if (!found) {
    await beside;
    signal.throwIfAborted();
    show("No such product", h("h1", {}, "There is no such product"), h("p", {}, h("a", { href: "./" }, "See all products")));
    return;
  }
  const settled = await beside;
  signal.throwIfAborted();
  const [prices, stock, attributes, media, recommended, tree] = settled;
  if (tree.value) showDepartments(tree.value, null);

  const price = h("p", { class: "price", id: "price" }, ...priceParts(prices.value?.get(id), currency));
  const level = h("p", { class: "level", id: "level" });
  fillLevel(level, stock.value?.get(id));
  const notice = h("div", {});
  const offer = h("div", {});
  const tiles = (recommended.value ?? []).map((row) => tile(row, { eager: false }));
  show(found.Name,
    h("article", { class: "product" },
      gallery(found, media.value ?? []),
      h("div", {},
        h("h1", {}, found.Name),
        h("p", { class: "item" }, `Item ${found.ItemId}`),
        price, level,
        h("p", {}, found.Description),
        offer, notice,
        facts(attributes.value ?? []))),
    tiles.length ? h("section", { "aria-labelledby": "recommended" },
      h("h2", { id: "recommended" }, "You may also like"),
      h("ul", { class: "tiles" }, tiles.map(({ element }) => element))) : "");
  if (!shop.isMaster(found)) offer.append(buying(() => ({ id, level: stock.value?.get(id) })));
  setBusy(true);

  const later = await Promise.allSettled([
    fillTiles(tiles, currency, signal),
    shop.isMaster(found) ? offerVariants(found, currency, { price, level, offer, signal }) : null,
  ]);
  signal.throwIfAborted();
  const told = warning([...failures(settled), ...failures(later), ...(later[0].value ?? [])]);
  if (told) notice.append(told);
  announce(found.Name);
}

/** The variants of a master, of which one must be chosen. Their prices and stock levels come in one call each. */
async function offerVariants(master, currency, { price, level, offer, signal }) {
  const variants = await shop.variants(master.RecordId, signal);
  const ids = variants.map(({ RecordId }) => RecordId);
  const [prices, stock] = await Promise.all([shop.prices(ids, signal), shop.stock(ids, signal)]);
  let chosen = null;
  const choose = ({ target }) => {
    chosen = ids.find((id) => String(id) === target.value) ?? null;
    const shown = chosen ?? master.RecordId;
    price.replaceChildren(...priceParts(prices.get(shown) ?? prices.get(ids[0]), currency));
    fillLevel(level, stock.get(shown));
    form.querySelector("button").disabled = chosen === null || !isInStock(stock.get(chosen));
  };
  const form = buying(() => ({ id: chosen, level: chosen ? stock.get(chosen) : undefined }));
  form.querySelector("button").disabled = true;
  offer.append(
    h("p", {}, h("label", {}, "Variant ", h("select", { id: "variant", onchange: choose },
      h("option", { value: "" }, "Choose one"),
      variants.map((variant) => h("option", { value: variant.RecordId }, variantName(variant)))))),
    form);
}

function variantName(variant) {
  const values = variant.Dimensions.map(({ DimensionValue }) => DimensionValue?.Value).filter(Boolean);
  return values.join(", ") || variant.Name;
}

/** The form that puts a product into the cart. */
function buying(choice) {
  const told = h("p", { class: "told", role: "status" });
  const button = h("button", { class: "primary", disabled: !isInStock(choice().level) }, "Add to cart");
  const quantity = h("input", { id: "quantity", type: "number", min: 1, max: 999, value: 1, required: true, inputmode: "numeric" });
  const add = async (event) => {
    event.preventDefault();
    button.disabled = true;
    told.className = "told";
    told.textContent = "Adding…";
    try {
      await cart.add(choice().id, quantity.valueAsNumber);
      told.replaceChildren("In your cart. ", h("a", { href: "?cart" }, "See the cart"));
    } catch (error) {
      told.className = "told error";
      told.textContent = `It could not be added: ${error.message} (${detailOf(error)})`;
    }
    button.disabled = false;
  };
  return h("form", { class: "buying", id: "buying", onsubmit: add },
    h("label", { for: "quantity" }, "Quantity"), quantity, button, told);
}

function gallery(found, media) {
  const name = media.find(({ IsDefault }) => IsDefault)?.Uri ?? media[0]?.Uri ?? found.PrimaryImageUrl;
  const large = h("img", { src: shop.imageUrl(name), alt: found.Name, width: 480, height: 480, fetchpriority: "high" });
  const look = (row, at) => h("li", {}, h("button", {
    type: "button",
    "aria-label": `Image ${at + 1} of ${media.length}`,
    onclick: () => {
      large.src = shop.imageUrl(row.Uri);
      large.alt = row.AltText || found.Name;
    },
  }, h("img", { src: shop.imageUrl(row.Uri), alt: "", width: 72, height: 72 })));
  return h("div", { class: "gallery" }, large, media.length > 1 ? h("ul", {}, media.map(look)) : null);
}

function facts(attributes) {
  const told = attributes.filter(({ TextValue }) => TextValue);
  if (!told.length) return null;
  return h("dl", { class: "facts" }, told.flatMap(({ Name, TextValue }) => [h("dt", {}, Name), h("dd", {}, TextValue)]));
}
