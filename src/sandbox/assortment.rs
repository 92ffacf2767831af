//! The products: a pure function of the seed and a position, so that a hundred thousand of them
//! cost nothing until they are asked for.
//!
//! Sixteen positions make a block: eleven products on their own, one master, and its four variants
//! (two colours in two sizes), which share the master's item number.

use super::company::{CATEGORIES, Category, FIRST_LEAF, LEAVES};
use super::language::{Language, Text, text};

const FIRST_PRODUCT: i64 = 68_719_489_871;
const FIRST_ITEM: usize = 82_000;
const BLOCK: usize = 16;
const MASTER_AT: usize = 11;
const ITEMS_IN_BLOCK: usize = MASTER_AT + 1;

/// The most products that a stand-in is asked to imitate.
pub(crate) const MAX_PRODUCTS: usize = 1_000_000;

/// All products.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Assortment {
    seed: u64,
    size: usize,
}

/// One product, master or variant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Product {
    pub(crate) index: usize,
    pub(crate) kind: Kind,
    /// Decides everything that variants share with their master.
    item_hash: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Single,
    /// With the number of its variants that exist.
    Master {
        variants: usize,
    },
    /// With its master's position and its own among the siblings.
    Variant {
        master: usize,
        ordinal: usize,
    },
}

impl Assortment {
    pub(crate) const fn new(seed: u64, size: usize) -> Self {
        Self { seed, size }
    }

    /// The product of that RecId.
    pub(crate) fn by_record_id(&self, record_id: i64) -> Option<Product> {
        self.at(usize::try_from(record_id.checked_sub(FIRST_PRODUCT)?).ok()?)
    }

    /// The single product or the master of that item number.
    pub(crate) fn by_item_id(&self, item_id: &str) -> Option<Product> {
        let item = item_id.parse::<usize>().ok()?.checked_sub(FIRST_ITEM)?;
        let block = (item / ITEMS_IN_BLOCK).checked_mul(BLOCK)?;
        self.at(block + item % ITEMS_IN_BLOCK)
    }

    /// The product at a position.
    pub(crate) fn at(&self, index: usize) -> Option<Product> {
        if index >= self.size {
            return None;
        }
        let (block, offset) = (index / BLOCK, index % BLOCK);
        let master = block * BLOCK + MASTER_AT;
        let kind = match offset {
            0..MASTER_AT => Kind::Single,
            MASTER_AT => {
                let behind = self.size - master - 1;
                Kind::Master { variants: behind.min(BLOCK - ITEMS_IN_BLOCK) }
            }
            _ => Kind::Variant { master, ordinal: offset - MASTER_AT - 1 },
        };
        let item = block * ITEMS_IN_BLOCK + offset.min(MASTER_AT);
        Some(Product { index, kind, item_hash: mix(self.seed, item as u64) })
    }

    /// Every product, variants too, by RecId.
    pub(crate) fn all(&self) -> impl Iterator<Item = Product> {
        let assortment = *self;
        (0..self.size).filter_map(move |index| assortment.at(index))
    }

    /// A master's variants; none for anything else.
    pub(crate) fn variants(&self, product: Product) -> impl Iterator<Item = Product> {
        let assortment = *self;
        let count = if let Kind::Master { variants } = product.kind { variants } else { 0 };
        (1..=count).filter_map(move |behind| assortment.at(product.index + behind))
    }

    /// A product with those that a change of it reaches: a master's variants, a variant's master.
    pub(crate) fn family(&self, product: Product) -> Vec<Product> {
        let master = product.master_record_id().and_then(|id| self.by_record_id(id));
        std::iter::once(product).chain(master).chain(self.variants(product)).collect()
    }

    /// A number that belongs to a product and a purpose, for stock and ratings.
    pub(crate) fn hash(&self, product: Product, purpose: &str) -> u64 {
        let purpose = purpose.bytes().fold(0, |sum: u64, byte| mix(sum, u64::from(byte)));
        mix(mix(self.seed, product.index as u64), purpose)
    }
}

impl Product {
    pub(crate) const fn record_id(&self) -> i64 {
        FIRST_PRODUCT + self.index as i64
    }

    pub(crate) fn item_id(&self) -> String {
        let (block, offset) = (self.index / BLOCK, self.index % BLOCK);
        (FIRST_ITEM + block * ITEMS_IN_BLOCK + offset.min(MASTER_AT)).to_string()
    }

    pub(crate) const fn is_variant(&self) -> bool {
        matches!(self.kind, Kind::Variant { .. })
    }

    /// The RecId of a variant's master.
    pub(crate) const fn master_record_id(&self) -> Option<i64> {
        match self.kind {
            Kind::Variant { master, .. } => Some(FIRST_PRODUCT + master as i64),
            _ => None,
        }
    }

    pub(crate) fn category(&self) -> &'static Category {
        let leaf = FIRST_LEAF + self.leaf();
        let [root, ..] = &CATEGORIES;
        CATEGORIES.get(leaf).unwrap_or(root)
    }

    fn leaf(&self) -> usize {
        (self.item_hash % LEAVES as u64) as usize
    }

    pub(crate) fn name(&self, language: Language) -> String {
        let series = pick(&SERIES, self.item_hash >> 8);
        let character = pick(&CHARACTERS, self.item_hash >> 16).say(language);
        format!("{series} {character} {}", pick(&NOUNS, self.leaf() as u64).say(language))
    }

    pub(crate) fn description(&self, language: Language) -> String {
        let material = self.material().say(language);
        let name = self.name(language);
        match language {
            Language::English => format!("{name} in {material}, made to last and easy to mend."),
            Language::Norwegian => {
                format!("{name} i {material}, laget for å vare og lett å reparere.")
            }
        }
    }

    /// The list price in hundredths, before any channel or contract. Variants in the larger size
    /// cost a little more.
    pub(crate) const fn list_price_cents(&self) -> i64 {
        let base = 995 + (self.item_hash >> 24) as i64 % 24_000;
        match self.kind {
            Kind::Variant { ordinal, .. } if ordinal % 2 == 1 => base + 250,
            _ => base,
        }
    }

    pub(crate) fn brand(&self) -> &'static str {
        pick(&BRANDS, self.item_hash >> 40)
    }

    pub(crate) fn material(&self) -> Text {
        pick(&MATERIALS, self.item_hash >> 44)
    }

    /// Weight in grams.
    pub(crate) const fn weight_g(&self) -> u64 {
        120 + (self.item_hash >> 32) % 4_000
    }

    /// Colour and size of a variant.
    pub(crate) fn dimensions(&self) -> Option<(DimensionValue, DimensionValue)> {
        let Kind::Variant { ordinal, .. } = self.kind else { return None };
        let (first, second) = (ordinal as u64 / 2, ordinal as u64 % 2);
        let colour = pick(&COLOURS, (self.item_hash >> 48) + first);
        Some((colour, pick(&SIZES, second)))
    }
}

/// A value of a product dimension: its RecId and its name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DimensionValue {
    pub(crate) record_id: i64,
    pub(crate) name: Text,
}

const fn value(record_id: i64, name: Text) -> DimensionValue {
    DimensionValue { record_id, name }
}

static COLOURS: [DimensionValue; 4] = [
    value(68_719_470_001, text("Black", "Svart")),
    value(68_719_470_002, text("Blue", "Blå")),
    value(68_719_470_003, text("Green", "Grønn")),
    value(68_719_470_004, text("Red", "Rød")),
];
static SIZES: [DimensionValue; 2] = [
    value(68_719_471_001, text("Medium", "Middels")),
    value(68_719_471_002, text("Large", "Stor")),
];
static SERIES: [&str; 10] = [
    "Alta", "Bjørk", "Cascade", "Dovre", "Everett", "Fjord", "Glitter", "Hallin", "Juniper",
    "Lofot",
];
static CHARACTERS: [Text; 9] = [
    text("light", "lett"),
    text("sturdy", "solid"),
    text("classic", "klassisk"),
    text("modern", "moderne"),
    text("soft", "myk"),
    text("waterproof", "vanntett"),
    text("warm", "varm"),
    text("simple", "enkel"),
    text("robust", "robust"),
];
static NOUNS: [Text; LEAVES] = [
    text("shoe", "sko"),
    text("boot", "støvel"),
    text("sandal", "sandal"),
    text("jacket", "jakke"),
    text("shirt", "skjorte"),
    text("trousers", "bukse"),
    text("lamp", "lampe"),
    text("chair", "stol"),
    text("table", "bord"),
    text("tent", "telt"),
    text("backpack", "ryggsekk"),
    text("bottle", "flaske"),
];
pub(crate) static BRANDS: [&str; 5] = ["Contoso", "Fabrikam", "Litware", "Proseware", "Tailspin"];
pub(crate) static MATERIALS: [Text; 5] = [
    text("wool", "ull"),
    text("leather", "lær"),
    text("steel", "stål"),
    text("canvas", "lerret"),
    text("oak", "eik"),
];

#[allow(clippy::indexing_slicing, reason = "the remainder is below N, and no list is empty")]
fn pick<T: Copy, const N: usize>(list: &[T; N], number: u64) -> T {
    list[(number % N as u64) as usize]
}

/// SplitMix64's finaliser over two numbers: an even spread is all that is asked of it.
pub(crate) const fn mix(left: u64, right: u64) -> u64 {
    let mut z = left
        .wrapping_add(right.wrapping_mul(0x9E37_79B9_7F4A_7C15))
        .wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_products_every_time_and_another_seed_gives_others() {
        let names = |seed| {
            let assortment = Assortment::new(seed, 40);
            assortment.all().map(|p| p.name(Language::English)).collect::<Vec<_>>()
        };
        assert_eq!(names(1), names(1));
        assert_ne!(names(1), names(2));
    }

    #[test]
    fn variants_share_their_masters_item_and_differ_in_colour_or_size() {
        let assortment = Assortment::new(1, 32);
        let master = assortment.at(11).unwrap();
        assert_eq!(master.kind, Kind::Master { variants: 4 });
        let variants: Vec<_> = assortment.variants(master).collect();
        assert_eq!(variants.len(), 4);
        let mut seen = std::collections::HashSet::new();
        for variant in variants {
            assert_eq!(variant.item_id(), master.item_id());
            assert_eq!(variant.master_record_id(), Some(master.record_id()));
            assert_eq!(variant.category().index, master.category().index);
            let (colour, size) = variant.dimensions().unwrap();
            assert!(seen.insert((colour.record_id, size.record_id)));
        }
        assert_eq!(assortment.at(16).unwrap().item_id(), "82012");
    }

    #[test]
    fn ids_lead_back_to_their_product_and_ids_outside_to_none() {
        let assortment = Assortment::new(7, 13);
        for product in assortment.all() {
            assert_eq!(assortment.by_record_id(product.record_id()), Some(product));
            if !product.is_variant() {
                assert_eq!(assortment.by_item_id(&product.item_id()), Some(product));
            }
        }
        for id in [i64::MIN, 0, FIRST_PRODUCT - 1, FIRST_PRODUCT + 13, i64::MAX] {
            assert_eq!(assortment.by_record_id(id), None);
        }
        assert_eq!(assortment.by_item_id("82099"), None);
        assert_eq!(assortment.by_item_id("18446744073709551615"), None);
    }
}
