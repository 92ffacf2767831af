// The cart: Retail Server keeps it, this browser remembers its id. Every call is one that a cache passes.

import { server } from "./shop.js";

const REMEMBERED_AS = `storefront-cart ${server.base}`;

export function remembered() {
  try {
    return JSON.parse(localStorage.getItem(REMEMBERED_AS)) ?? { id: null, count: 0 };
  } catch {
    return { id: null, count: 0 };
  }
}

function remember(cart) {
  const count = cart ? cart.CartLines.reduce((sum, line) => sum + line.Quantity, 0) : 0;
  try {
    localStorage.setItem(REMEMBERED_AS, JSON.stringify({ id: cart?.Id ?? null, count }));
  } catch {
    // A browser that keeps nothing loses the cart with the page.
  }
  dispatchEvent(new CustomEvent("cart", { detail: count }));
  return cart;
}

const path = (id) => `Carts('${encodeURIComponent(id.replaceAll("'", "''"))}')`;

/** The cart, or null where there is none (any more). */
export async function read(signal) {
  const { id } = remembered();
  if (!id) return null;
  try {
    return remember(await server.get(path(id), signal));
  } catch (error) {
    if (error.status !== 404 && error.status !== 410) throw error;
    return remember(null);
  }
}

/** Puts a product into the cart; the first one makes the cart. */
export async function add(productId, quantity) {
  const line = { CatalogId: 0, ProductId: productId, Quantity: quantity };
  const { id } = remembered();
  if (id) {
    try {
      return remember(await server.post(`${path(id)}/AddCartLines`, { cartLines: [line] }));
    } catch (error) {
      if (error.status !== 404 && error.status !== 410) throw error;
    }
  }
  return remember(await server.post("Carts", { CartLines: [line] }));
}

export async function change(cart, line, quantity) {
  const changed = { LineId: line.LineId, ProductId: line.ProductId, Quantity: quantity };
  return remember(await server.post(`${path(cart.Id)}/UpdateCartLines`, { cartLines: [changed] }));
}

export async function remove(cart, line) {
  return remember(await server.post(`${path(cart.Id)}/RemoveCartLines`, { cartLineIds: [line.LineId] }));
}
