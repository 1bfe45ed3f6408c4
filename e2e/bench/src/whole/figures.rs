//! Reads the data plane's own figures: the metrics page and its histograms. Never rounds in its favour: a quantile is the upper
//! bound of the bucket that holds it.

use std::collections::BTreeMap;

/// A metrics page.
#[derive(Debug, Clone, Default)]
pub(super) struct Metrics(BTreeMap<String, f64>);

/// Counts up to each bound, in seconds; the last bound is infinite.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Buckets(Vec<(f64, f64)>);

impl Metrics {
    pub(super) fn parse(page: &str) -> Self {
        let lines = page.lines().filter(|line| !line.starts_with('#'));
        let series = lines.filter_map(|line| {
            let (series, value) = line.trim().rsplit_once(' ')?;
            Some((series.to_owned(), value.parse().ok()?))
        });
        Self(series.collect())
    }

    /// A series by its whole name, labels included; 0 where there is none.
    pub(super) fn value(&self, series: &str) -> f64 {
        self.0.get(series).copied().unwrap_or(0.0)
    }

    /// A histogram without further labels.
    pub(super) fn histogram(&self, name: &str) -> Buckets {
        let prefix = format!("{name}_bucket{{le=\"");
        let bucket = |(series, count): (&String, &f64)| {
            let bound = series.strip_prefix(&prefix)?.strip_suffix("\"}")?;
            Some((bound.replace("+Inf", "inf").parse().ok()?, *count))
        };
        let mut buckets: Vec<(f64, f64)> = self.0.iter().filter_map(bucket).collect();
        buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
        Buckets(buckets)
    }
}

impl Buckets {
    /// What came since `before`.
    pub(super) fn since(&self, before: &Self) -> Self {
        let earlier = |bound: f64| before.0.iter().find(|(known, _)| *known == bound).map_or(0.0, |(_, count)| *count);
        Self(self.0.iter().map(|(bound, count)| (*bound, count - earlier(*bound))).collect())
    }

    pub(super) fn count(&self) -> f64 {
        self.0.last().map_or(0.0, |(_, count)| *count)
    }

    /// The upper bound, in milliseconds, of the bucket in which the quantile (0 to 1) lies; infinite beyond the last.
    pub(super) fn bound_ms(&self, quantile: f64) -> f64 {
        let rank = self.count() * quantile;
        self.0.iter().find(|(_, count)| *count >= rank).map_or(f64::NAN, |(bound, _)| bound * 1e3)
    }
}

/// What admission goes by, between two looks at a pod: what its callers missed, and whom it turned away for what.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Pace {
    /// Packets that left later than the jitter buffers behind the pod hold, or not at all.
    pub(super) missed: f64,
    /// Packets that were sent, or should have been.
    due: f64,
    late: f64,
    busy: f64,
    full: f64,
}

impl Pace {
    pub(super) fn between(before: &Metrics, after: &Metrics) -> Self {
        let since = |series: &str| after.value(series) - before.value(series);
        let refused = |reason: &str| since(&format!("sofia_phone_calls_refused_total{{reason=\"{reason}\"}}"));
        Self {
            missed: since("sofia_phone_rtp_packets_missed_total"),
            due: since("sofia_phone_rtp_packets_sent_total"),
            late: refused("late"),
            busy: refused("busy"),
            full: refused("full"),
        }
    }

    /// Per cent of the packets that callers missed.
    pub(super) fn missed_percent(&self) -> f64 {
        if self.due.max(self.missed) > 0.0 { self.missed / self.due.max(self.missed) * 100.0 } else { 0.0 }
    }

    /// How often the switch was turned away for load, for what callers missed, and for want of a permit: it asks up to three times a call.
    pub(super) fn refusals(&self) -> String {
        format!("{:.0} / {:.0} / {:.0}", self.busy, self.late, self.full)
    }
}

/// A bucket's bound in words.
pub(super) fn bound(ms: f64) -> String {
    if ms.is_infinite() { "beyond".to_owned() } else { format!("≤ {ms}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "# HELP a_seconds x\r\na_seconds_bucket{le=\"0.001\"} 90\na_seconds_bucket{le=\"0.002\"} 99\n\
        a_seconds_bucket{le=\"+Inf\"} 100\na_seconds_count 100\nb_total{kind=\"x\"} 7\n";

    #[test]
    fn a_quantile_is_the_bound_of_its_bucket() {
        let buckets = Metrics::parse(PAGE).histogram("a_seconds");
        assert_eq!((buckets.bound_ms(0.5), buckets.bound_ms(0.99), buckets.count()), (1.0, 2.0, 100.0));
        assert_eq!(buckets.bound_ms(1.0), f64::INFINITY);
    }

    #[test]
    fn what_was_before_is_taken_off() {
        let after = Metrics::parse(PAGE).histogram("a_seconds");
        let before = Metrics::parse("a_seconds_bucket{le=\"0.001\"} 90\n").histogram("a_seconds");
        assert_eq!(after.since(&before).bound_ms(0.01), 2.0);
        assert_eq!(Metrics::parse(PAGE).value("b_total{kind=\"x\"}"), 7.0);
        assert_eq!(Metrics::parse(PAGE).value("none"), 0.0);
    }

    #[test]
    fn what_callers_missed_is_a_share_of_what_was_due() {
        let page = |sent: u32, missed: u32, busy: u32| {
            Metrics::parse(&format!(
                "sofia_phone_rtp_packets_sent_total {sent}\nsofia_phone_rtp_packets_missed_total {missed}\n\
                 sofia_phone_calls_refused_total{{reason=\"busy\"}} {busy}\n"
            ))
        };
        let pace = Pace::between(&page(1_000, 10, 2), &page(2_000, 30, 5));
        assert_eq!((pace.missed, pace.missed_percent(), pace.refusals().as_str()), (20.0, 2.0, "3 / 0 / 0"));
        assert_eq!(Pace::default().missed_percent(), 0.0, "nothing was due");
        assert_eq!(Pace::between(&page(5, 0, 0), &page(5, 9, 0)).missed_percent(), 100.0, "nothing left at all");
    }
}
