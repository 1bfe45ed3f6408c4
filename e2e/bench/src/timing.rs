//! Times short functions by the wall clock of a pinned thread: medians of many batches, contestants taking turns so that a
//! neighbour on the machine hits all of them alike. Never decides whether a time is good.

use std::time::{Duration, Instant};

/// A batch takes at least so long, so that reading the clock is not what is measured, and not much longer, so that few batches
/// are hit by an interruption.
const BATCH: Duration = Duration::from_micros(100);
/// Fewer batches make no median.
const LEAST_BATCHES: usize = 25;

/// What is timed.
pub(crate) type Run<'a> = Box<dyn FnMut() + 'a>;

/// The median time of one run of each contestant, in microseconds. All together get `effort` for each contestant.
pub(crate) fn race_us(effort: Duration, mut contestants: Vec<Run<'_>>) -> Vec<f64> {
    let batches: Vec<u32> = contestants.iter_mut().map(|run| runs_in_batch(run)).collect();
    let mut times: Vec<Vec<f64>> = vec![Vec::new(); contestants.len()];
    let end = Instant::now() + effort * contestants.len() as u32;
    while Instant::now() < end || times.first().is_some_and(|times| times.len() < LEAST_BATCHES) {
        for ((run, batch), times) in contestants.iter_mut().zip(&batches).zip(&mut times) {
            let start = Instant::now();
            for _ in 0..*batch {
                run();
            }
            times.push(start.elapsed().as_secs_f64() * 1e6 / f64::from(*batch));
        }
    }
    times.iter_mut().map(|times| quantile(times, 0.5)).collect()
}

/// [`race_us`] of one alone.
pub(crate) fn median_us(effort: Duration, run: impl FnMut()) -> f64 {
    race_us(effort, vec![Box::new(run)])[0]
}

fn runs_in_batch(run: &mut Run<'_>) -> u32 {
    let mut batch = 1;
    loop {
        let start = Instant::now();
        for _ in 0..batch {
            run();
        }
        if start.elapsed() >= BATCH {
            return batch;
        }
        batch *= 2;
    }
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
    fn every_contestant_has_a_time() {
        let times = race_us(Duration::from_millis(1), vec![Box::new(|| ()), Box::new(|| ())]);
        assert_eq!(times.len(), 2);
    }
}
