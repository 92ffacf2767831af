// What this storefront reads: each question once, in Retail Server's terms.

import config from "./config.js";
import { RetailServer } from "./retail-server.js";

export const PAGE_SIZE = 24;
export const language = config.language;
export const server = new RetailServer(config);

const MASTER = 1;
const ALL = "&$top=1000";

/** Asks once for the life of the page; a failure is forgotten, so that the next one asks again. */
function once(ask) {
  let answer = null;
  return () => {
    answer ??= ask().catch((error) => {
      answer = null;
      throw error;
    });
    return answer;
  };
}

/** The channel: everything else is asked in its name. */
export const channel = once(async () => {
  if (!server.operatingUnit) {
    const { value } = await server.get("GetChannels()", null, ALL);
    if (!value.length) throw new Error("Retail Server has no channel.");
    server.operatingUnit = value[0].OperatingUnitNumber;
  }
  const found = await server.post("OrgUnits/GetOrgUnitConfiguration", {});
  return { id: found.RecordId, name: found.Name, currency: found.Currency };
});

/** The categories: by id, and the root. */
export const categories = once(async () => {
  const { id } = await channel();
  const { value } = await server.post("Categories/GetCategories", { channelId: id }, null, ALL);
  const byId = new Map(value.map((row) => [row.RecordId, { id: row.RecordId, name: row.Name, parent: row.ParentCategory, children: [] }]));
  let root = null;
  for (const category of byId.values()) {
    const parent = byId.get(category.parent);
    if (parent) parent.children.push(category);
    else root ??= category;
  }
  return { byId, root };
});

const ORDERS = { price: "Price", "price-desc": "Price desc", name: "Name" };

/** One page of a listing: a category, a text, or both, narrowed by refinements. */
export async function search({ category, text, refinements, order, page }, signal) {
  const searchCriteria = await criteria(category, text);
  searchCriteria.IncludeAttributes = true;
  if (refinements.length) searchCriteria.Refinement = refinements.map(refinementCriterion);
  const skip = (page - 1) * PAGE_SIZE;
  let options = `&$top=${PAGE_SIZE}&$skip=${skip}&$count=true`;
  if (ORDERS[order]) options += `&$orderby=${encodeURIComponent(ORDERS[order])}`;
  const found = await server.post("Products/SearchByCriteria", { searchCriteria }, signal, options);
  return { products: found.value, count: found["@odata.count"] ?? found.value.length };
}

/** What a listing can be narrowed by. Not asked for what it is narrowed to, so that it can be widened again. */
export async function refiners({ category, text }, signal) {
  const searchCriteria = await criteria(category, text);
  const found = await server.post("Products/GetProductSearchRefiners", { searchCriteria }, signal, ALL);
  return found.value;
}

async function criteria(category, text) {
  const { id } = await channel();
  return {
    Context: { ChannelId: id, CatalogId: 0 },
    ...(category ? { CategoryIds: [category] } : {}),
    ...(text ? { SearchCondition: text } : {}),
    IncludeProductsFromDescendantCategories: true,
    SkipVariantExpansion: true,
  };
}

function refinementCriterion({ refiner, source, type, value }) {
  return {
    RefinerRecordId: refiner,
    RefinerSourceValue: source,
    DataTypeValue: type,
    LeftValueBoundString: value,
    RightValueBoundString: value,
  };
}

/** Prices of products, by id: one call for all of them. */
export async function prices(ids, signal) {
  if (!ids.length) return new Map();
  const { id } = await channel();
  const { value } = await server.post("Products/GetActivePrices", {
    projectDomain: { ChannelId: id, CatalogId: 0 },
    productIds: ids,
    activeDate: new Date().toISOString(),
    customerId: null,
    affiliationLoyaltyTiers: [],
    includeSimpleDiscountsInContextualPrice: true,
  }, signal, ALL);
  return new Map(value.map((row) => [row.ProductId, row]));
}

/** What the channel's warehouse has of products, by id: one call for all of them. */
export async function stock(ids, signal) {
  if (!ids.length) return new Map();
  const { AggregatedProductInventoryAvailabilities: rows } = await server.post("Products/GetEstimatedAvailability", {
    searchCriteria: { ProductIds: ids, DefaultWarehouseOnly: true },
  }, signal);
  return new Map(rows.map((row) => [row.ProductId, row]));
}

/** A product, or null. */
export async function product(id, signal) {
  const { id: channelId } = await channel();
  return server.get(`Products(${id})/GetById(channelId=${channelId})`, signal);
}

export const isMaster = (found) => found.ProductTypeValue === MASTER;

export async function productsByIds(ids, signal) {
  if (!ids.length) return new Map();
  const { id } = await channel();
  const { value } = await server.post("Products/GetByIds", { channelId: id, productIds: ids }, signal, ALL);
  return new Map(value.map((row) => [row.RecordId, row]));
}

export async function variants(id, signal) {
  const { id: channelId } = await channel();
  const { value } = await server.post(`Products(${id})/GetVariantsByDimensionValues`,
    { channelId, matchingDimensionValues: [] }, signal, ALL);
  return value;
}

export async function attributes(id, signal) {
  const { id: channelId } = await channel();
  const { value } = await server.get(`Products(${id})/GetAttributeValues(channelId=${channelId},catalogId=0)`, signal, ALL);
  return value;
}

export async function media(id, signal) {
  const { id: channelId } = await channel();
  const { value } = await server.get(`Products(${id})/GetMediaLocations(channelId=${channelId},catalogId=0)`, signal, ALL);
  return value.filter((row) => row.MimeType?.startsWith("image/") ?? true);
}

export async function recommended(id, signal) {
  const { value } = await server.post("Products/GetRecommendedProducts", { productIds: [id], customerId: null }, signal, "&$top=8");
  return value.filter((row) => row.RecordId !== id);
}

/** The address of an image that Retail Server names. */
export const imageUrl = (name) => new URL(name, new URL(config.media, document.baseURI)).href;
