//! What is sold, in which order it is shown, and who looks at what: a function of the seed.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::question::product;

pub(crate) const SEED: u64 = 1;
pub(crate) const PRODUCTS: usize = 10_000;
/// Categories and searches.
pub(crate) const LISTINGS: usize = 500;
pub(crate) const PAGE: usize = 24;
/// Of a listing.
pub(crate) const PAGES: usize = 20;
/// How likely who has seen a page looks at the next one.
pub(crate) const GOES_ON: f64 = 0.8;

/// The listings, and the pages that are looked at.
pub(crate) struct Market {
    listings: Vec<Vec<usize>>,
    /// Listing and page of each view.
    views: Vec<(usize, usize)>,
}

impl Market {
    /// With so many views.
    pub(crate) fn open(views: usize) -> Self {
        let mut random = StdRng::seed_from_u64(SEED);
        let mut by_rank: Vec<usize> = (0..PRODUCTS).collect();
        shuffle(&mut by_rank, &mut random);
        let listings = (0..LISTINGS).map(|_| listing(&by_rank, &mut random)).collect();
        let popular = Zipf::new(LISTINGS);
        let mut view = || {
            let listing = popular.pick(&mut random);
            let mut page = 0;
            while page + 1 < PAGES && random.random::<f64>() < GOES_ON {
                page += 1;
            }
            (listing, page)
        };
        let views = (0..views).map(|_| view()).collect();
        Self { listings, views }
    }

    /// The positions of the products that a view shows, in the page's order.
    pub(crate) fn shown(&self, view: usize) -> &[usize] {
        let (listing, page) = self.views[view];
        &self.listings[listing][page * PAGE..(page + 1) * PAGE]
    }

    /// Their ids.
    pub(crate) fn ids(&self, view: usize) -> Vec<i64> {
        self.shown(view).iter().map(|&position| product(position)).collect()
    }

    /// The different products that are in any listing.
    pub(crate) fn listed(&self) -> usize {
        let mut is_listed = vec![false; PRODUCTS];
        self.listings.iter().flatten().for_each(|&position| is_listed[position] = true);
        is_listed.into_iter().filter(|is_listed| *is_listed).count()
    }

    /// How much of what these views show is of the tenth of the products that is shown most.
    pub(crate) fn share_of_a_tenth(&self, views: std::ops::Range<usize>) -> f64 {
        let mut reads = vec![0_u64; PRODUCTS];
        views.flat_map(|view| self.shown(view)).for_each(|&position| reads[position] += 1);
        reads.sort_unstable_by(|a, b| b.cmp(a));
        reads[..PRODUCTS / 10].iter().sum::<u64>() as f64 / reads.iter().sum::<u64>() as f64
    }
}

/// Products by their popularity, none twice; in an order of the listing's own.
fn listing(by_rank: &[usize], random: &mut StdRng) -> Vec<usize> {
    // Exponential times to the first sale: who sells more often is there sooner.
    let mut times: Vec<(f64, usize)> = (by_rank.iter().zip(1..))
        .map(|(&position, rank)| (-random.random::<f64>().ln() * f64::from(rank), position))
        .collect();
    times.sort_unstable_by(|(a, _), (b, _)| a.total_cmp(b));
    let mut listed: Vec<usize> =
        times.into_iter().take(PAGES * PAGE).map(|(_, position)| position).collect();
    shuffle(&mut listed, random);
    listed
}

/// Ranks, each as likely as one over itself: Zipf's law with exponent 1.
struct Zipf(Vec<f64>);

impl Zipf {
    fn new(ranks: usize) -> Self {
        let mut sum = 0.0;
        let sums = (1..=ranks).map(|rank| {
            sum += 1.0 / rank as f64;
            sum
        });
        Self(sums.collect())
    }

    fn pick(&self, random: &mut StdRng) -> usize {
        let at = random.random::<f64>() * self.0.last().unwrap();
        self.0.partition_point(|sum| *sum <= at).min(self.0.len() - 1)
    }
}

pub(crate) fn shuffle(things: &mut [usize], random: &mut StdRng) {
    for at in (1..things.len()).rev() {
        things.swap(at, random.random_range(0..=at));
    }
}
