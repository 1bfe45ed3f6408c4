//! Times short functions with criterion: its warm-up, its samples and its estimates, on a pinned thread and in little time. Never
//! decides whether a time is good.

use std::fs::{read_to_string, remove_dir_all};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use criterion::{Criterion, SamplingMode};

/// Until caches and branch predictors know the function.
const WARM_UP: Duration = Duration::from_millis(200);
/// Samples, of which the median is taken: so many, and all of the same length, that each fits into the time for which a thread is let
/// run on a machine that is not quite quiet.
const SAMPLES: usize = 100;
/// The folder of them all.
const GROUP: &str = "kernels";
/// For the confidence intervals, which are criterion's own to show: few, because a hundred functions are timed.
const RESAMPLES: usize = 2_000;
/// How often each of several that are compared is timed, in turns: a neighbour on the machine seldom hits one of them both times.
const ROUNDS: usize = 2;

/// What is timed.
pub(crate) type Run<'a> = Box<dyn FnMut() + 'a>;

/// Times functions, and keeps what criterion writes of them.
pub(crate) struct Stopwatch {
    criterion: Criterion,
    folder: PathBuf,
    timed: usize,
}

impl Stopwatch {
    /// Each function is run for `effort`; criterion's files go to `folder`, whose earlier ones are thrown away, so that nothing is
    /// compared with another run.
    pub(crate) fn new(folder: PathBuf, effort: Duration) -> Self {
        // Where it is not there, there is nothing to throw away.
        let _ = remove_dir_all(&folder);
        let criterion = Criterion::default()
            .without_plots()
            .warm_up_time(WARM_UP)
            .measurement_time(effort)
            .sample_size(SAMPLES)
            .nresamples(RESAMPLES)
            .output_directory(&folder);
        Self { criterion, folder, timed: 0 }
    }

    /// The median time of one run, in microseconds.
    pub(crate) fn median_us(&mut self, name: &str, mut run: impl FnMut()) -> Result<f64> {
        self.timed += 1;
        let name = format!("{:03}-{}", self.timed, plain(name));
        let mut group = self.criterion.benchmark_group(GROUP);
        group.sampling_mode(SamplingMode::Flat).bench_function(name.as_str(), |timer| timer.iter(&mut run));
        group.finish();
        let file = self.folder.join(GROUP).join(&name).join("new").join("estimates.json");
        let estimates = read_to_string(&file).with_context(|| file.display().to_string())?;
        median_ns(&estimates)
            .map(|ns| ns / 1e3)
            .with_context(|| format!("{}: expected criterion's estimates", file.display()))
    }

    /// The median time of one run of each contestant, in microseconds: of the rounds in which they take turns, the better.
    pub(crate) fn race_us(&mut self, name: &str, mut contestants: Vec<Run<'_>>) -> Result<Vec<f64>> {
        let mut best = vec![f64::INFINITY; contestants.len()];
        for _ in 0..ROUNDS {
            for (at, (run, best)) in contestants.iter_mut().zip(&mut best).enumerate() {
                *best = best.min(self.median_us(&format!("{name}-{at}"), run)?);
            }
        }
        Ok(best)
    }
}

/// As a folder's name.
fn plain(name: &str) -> String {
    let plain = name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' });
    plain.take(50).collect()
}

/// The median of criterion's `estimates.json`, in nanoseconds.
fn median_ns(estimates: &str) -> Option<f64> {
    let estimates: serde_json::Value = serde_json::from_str(estimates).ok()?;
    estimates["median"]["point_estimate"].as_f64()
}

/// The quantile (0 to 1) of `values`, which it sorts; NaN of none.
pub(crate) fn quantile(values: &mut [f64], quantile: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let rank = (values.len() as f64 * quantile).ceil() as usize;
    values.get(rank.saturating_sub(1).min(values.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_one_of_the_values() {
        let mut values = vec![3.0, 1.0, 2.0, 4.0];
        assert_eq!(quantile(&mut values, 0.5), 2.0);
        assert_eq!(quantile(&mut values, 0.99), 4.0);
        assert!(quantile(&mut [], 0.5).is_nan());
    }

    #[test]
    fn every_contestant_has_the_time_that_criterion_wrote_down() {
        let folder = std::env::temp_dir().join(format!("sofia-phone-bench-{}", std::process::id()));
        let mut stopwatch = Stopwatch::new(folder.clone(), Duration::from_millis(20));
        let times = stopwatch.race_us("two / of them", vec![Box::new(|| ()), Box::new(|| ())]).unwrap();
        assert!(times.len() == 2 && times.iter().all(|us| us.is_finite()), "{times:?}");
        std::fs::remove_dir_all(folder).unwrap();
    }
}
