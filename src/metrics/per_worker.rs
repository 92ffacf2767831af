//! Families that each worker counts in for itself, so that no two cores write to the same memory on
//! a hit. What is scraped is their sum.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use prometheus::core::{Collector, Desc};
use prometheus::proto::{Bucket, Counter, Histogram, LabelPair, Metric, MetricFamily};

/// A family of counters or histograms, once for each worker.
#[derive(Clone)]
pub struct PerWorker<F>(Arc<Shards<F>>);

struct Shards<F> {
    make: Box<dyn Fn() -> Result<F, prometheus::Error> + Send + Sync>,
    first: F,
    others: Mutex<Vec<F>>,
}

impl<F: Collector + Clone> PerWorker<F> {
    /// A family that `make` makes, always the same.
    ///
    /// # Errors
    /// Those of `make`.
    pub fn new(
        make: impl Fn() -> Result<F, prometheus::Error> + Send + Sync + 'static,
    ) -> Result<Self, prometheus::Error> {
        let (first, others) = (make()?, Mutex::default());
        Ok(Self(Arc::new(Shards { make: Box::new(make), first, others })))
    }

    /// The family for one more worker.
    pub fn for_one(&self) -> F {
        // What could be made once can be made again; if not, sharing only costs time.
        let made = (self.0.make)().unwrap_or_else(|_| self.0.first.clone());
        self.0.others.lock().push(made.clone());
        made
    }
}

impl<F: Collector + Clone> Collector for PerWorker<F> {
    fn desc(&self) -> Vec<&Desc> {
        self.0.first.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut families = self.0.first.collect();
        let Some(sum) = families.first_mut() else { return families };
        let others: Vec<Metric> = self
            .0
            .others
            .lock()
            .iter()
            .flat_map(Collector::collect)
            .flat_map(|mut family| family.take_metric())
            .collect();
        let mut by_labels: HashMap<Vec<(String, String)>, Metric> = HashMap::new();
        for metric in sum.take_metric().into_iter().chain(others) {
            by_labels
                .entry(labels_of(&metric))
                .and_modify(|sum| add(sum, &metric))
                .or_insert(metric);
        }
        let mut metrics: Vec<_> = by_labels.into_iter().collect();
        metrics.sort_by(|(a, _), (b, _)| a.cmp(b));
        sum.set_metric(metrics.into_iter().map(|(_, metric)| metric).collect());
        families
    }
}

impl<F> fmt::Debug for PerWorker<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PerWorker").finish_non_exhaustive()
    }
}

fn labels_of(metric: &Metric) -> Vec<(String, String)> {
    let text = |label: &LabelPair| (label.name().to_owned(), label.value().to_owned());
    metric.get_label().iter().map(text).collect()
}

/// Adds one worker's metric; both of one family, so of one kind and with the same buckets.
fn add(sum: &mut Metric, one: &Metric) {
    let mut counter = Counter::default();
    counter.set_value(sum.get_counter().get_value() + one.get_counter().get_value());
    sum.set_counter(counter);

    let (a, b) = (sum.get_histogram(), one.get_histogram());
    let buckets = a.get_bucket().iter().zip(b.get_bucket()).map(|(a, b)| {
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(a.upper_bound());
        bucket.set_cumulative_count(a.cumulative_count() + b.cumulative_count());
        bucket
    });
    let mut histogram = Histogram::default();
    histogram.set_bucket(buckets.collect());
    histogram.set_sample_count(a.get_sample_count() + b.get_sample_count());
    histogram.set_sample_sum(a.get_sample_sum() + b.get_sample_sum());
    sum.set_histogram(histogram);
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry, TextEncoder};

    fn text(registry: &Registry) -> String {
        TextEncoder::new().encode_to_string(&registry.gather()).unwrap()
    }

    #[test]
    fn what_workers_count_is_scraped_as_one_sum() {
        let registry = Registry::new();
        let make = || IntCounterVec::new(Opts::new("reads", "Reads"), &["result"]);
        let family = PerWorker::new(make).unwrap();
        registry.register(Box::new(family.clone())).unwrap();
        let (one, other) = (family.for_one(), family.for_one());
        one.with_label_values(&["hit"]).inc_by(3);
        other.with_label_values(&["hit"]).inc();
        other.with_label_values(&["miss"]).inc();
        let text = text(&registry);
        assert!(text.contains("reads{result=\"hit\"} 4"), "{text}");
        assert!(text.contains("reads{result=\"miss\"} 1"), "{text}");
        assert_eq!(text.matches("reads{").count(), 2, "{text}");
    }

    #[test]
    fn the_buckets_of_histograms_add_up() {
        let registry = Registry::new();
        let make = || {
            let options = HistogramOpts::new("seconds", "Time").buckets(vec![0.5, 1.0]);
            HistogramVec::new(options, &["result"])
        };
        let family = PerWorker::new(make).unwrap();
        registry.register(Box::new(family.clone())).unwrap();
        for (seconds, shard) in [(0.25, family.for_one()), (0.75, family.for_one())] {
            shard.with_label_values(&["hit"]).observe(seconds);
        }
        let text = text(&registry);
        for line in [
            "seconds_bucket{result=\"hit\",le=\"0.5\"} 1",
            "seconds_bucket{result=\"hit\",le=\"1\"} 2",
            "seconds_bucket{result=\"hit\",le=\"+Inf\"} 2",
            "seconds_sum{result=\"hit\"} 1",
            "seconds_count{result=\"hit\"} 2",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
    }
}
