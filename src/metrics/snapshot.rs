//! What every metric says at one moment, for whoever reads it in another form than Prometheus'.

use std::collections::BTreeMap;

use prometheus::Registry;
use prometheus::proto::{Metric, MetricFamily};

/// What every metric said when it was taken.
#[derive(Debug)]
pub struct Snapshot(BTreeMap<String, MetricFamily>);

/// What a histogram has counted.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Distribution {
    /// The upper bounds of its buckets, in ascending order.
    pub bounds: Vec<f64>,
    /// How many were observed up to each, smaller ones included.
    pub up_to: Vec<u64>,
    /// How many were observed.
    pub count: u64,
    /// Their sum.
    pub sum: f64,
}

impl Snapshot {
    pub(super) fn of(registry: &Registry) -> Self {
        let named = |family: MetricFamily| (family.name().to_owned(), family);
        Self(registry.gather().into_iter().map(named).collect())
    }

    /// The series of a family, named without the prefix; none, where nothing was counted yet.
    fn series(&self, name: &str) -> &[Metric] {
        self.0.get(&format!("csu_edge_{name}")).map_or(&[], |family| family.get_metric())
    }

    /// The only series of a family; `None` where there is none.
    pub fn value(&self, name: &str) -> Option<f64> {
        self.series(name).first().map(value)
    }

    /// What a family of counters or gauges says, its series summed by these labels' values.
    pub fn by<const N: usize>(&self, name: &str, labels: [&str; N]) -> BTreeMap<[String; N], f64> {
        let mut sums = BTreeMap::new();
        for metric in self.series(name) {
            *sums.entry(labels.map(|label| label_of(metric, label))).or_default() += value(metric);
        }
        sums
    }

    /// The histograms of a family, by one label's values.
    pub fn distributions(&self, name: &str, label: &str) -> BTreeMap<String, Distribution> {
        let read = |metric: &Metric| {
            let histogram = metric.get_histogram();
            let buckets = histogram.get_bucket();
            let distribution = Distribution {
                bounds: buckets.iter().map(|bucket| bucket.upper_bound()).collect(),
                up_to: buckets.iter().map(|bucket| bucket.cumulative_count()).collect(),
                count: histogram.get_sample_count(),
                sum: histogram.get_sample_sum(),
            };
            (label_of(metric, label), distribution)
        };
        self.series(name).iter().map(read).collect()
    }
}

/// A counter's or a gauge's; the other one is 0.
fn value(metric: &Metric) -> f64 {
    metric.get_counter().get_value() + metric.get_gauge().get_value()
}

fn label_of(metric: &Metric, name: &str) -> String {
    let label = metric.get_label().iter().find(|label| label.name() == name);
    label.map_or_else(String::new, |label| label.value().to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::Metrics;

    #[test]
    fn series_are_summed_by_the_labels_that_are_asked_for() {
        let metrics = Metrics::new().unwrap();
        for (reason, priority, times) in
            [("budget", "client", 2), ("budget", "refresh-ahead", 3), ("broken", "client", 1)]
        {
            metrics.gate_refused.with_label_values(&[reason, priority]).inc_by(times);
        }
        metrics.gate_limit.set(-4);
        let snapshot = metrics.snapshot();
        let by_reason = snapshot.by("origin_gate_refused_total", ["reason"]);
        assert_eq!(by_reason[&["budget".to_owned()]], 5.0);
        assert_eq!(by_reason[&["broken".to_owned()]], 1.0);
        assert_eq!(snapshot.by("origin_gate_refused_total", ["priority", "reason"]).len(), 3);
        assert_eq!(snapshot.value("origin_gate_limit"), Some(-4.0));
        assert_eq!(snapshot.value("origin_gate_tokens"), None);
    }

    #[test]
    fn a_histogram_is_told_with_its_bounds() {
        let metrics = Metrics::new().unwrap();
        metrics.origin_seconds.with_label_values(&["fetch"]).observe(0.3);
        let told = metrics.snapshot().distributions("origin_request_duration_seconds", "purpose");
        let fetch = &told["fetch"];
        let at = fetch.bounds.iter().position(|bound| *bound == 0.5).unwrap();
        assert_eq!((fetch.up_to[at - 1], fetch.up_to[at]), (0, 1));
        assert_eq!((fetch.count, fetch.sum), (1, 0.3));
    }
}
