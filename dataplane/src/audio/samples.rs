//! A stretch of somebody's speech on its way to the packets: shared, so that a recording that many calls play is there once,
//! and cut without copying. Never changed.

use std::fmt;
use std::ops::{Deref, Range};
use std::sync::Arc;

/// Mono samples, or a part of them. Clones and parts share the memory.
#[derive(Clone)]
pub struct Samples {
    all: Arc<[i16]>,
    part: Range<usize>,
}

impl Samples {
    /// The part that is `range` of this one; what lies beyond its end is left out.
    #[must_use]
    pub fn part(&self, range: Range<usize>) -> Self {
        let end = self.part.end.min(self.part.start.saturating_add(range.end));
        let start = end.min(self.part.start.saturating_add(range.start));
        Self { all: Arc::clone(&self.all), part: start..end }
    }
}

impl From<Arc<[i16]>> for Samples {
    fn from(all: Arc<[i16]>) -> Self {
        let part = 0..all.len();
        Self { all, part }
    }
}

impl From<Vec<i16>> for Samples {
    fn from(samples: Vec<i16>) -> Self {
        Arc::<[i16]>::from(samples).into()
    }
}

impl From<&[i16]> for Samples {
    fn from(samples: &[i16]) -> Self {
        Arc::<[i16]>::from(samples).into()
    }
}

impl Deref for Samples {
    type Target = [i16];

    fn deref(&self) -> &[i16] {
        &self.all[self.part.clone()]
    }
}

impl PartialEq for Samples {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl fmt::Debug for Samples {
    /// Writes how many there are: speech belongs in no log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Samples({})", self.part.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_shares_the_samples_and_ends_where_they_end() {
        let whole = Samples::from(vec![1, 2, 3, 4, 5]);
        let part = whole.part(1..4);
        assert_eq!(part[..], [2, 3, 4]);
        assert_eq!(part.part(2..9)[..], [4]);
        assert!(part.part(7..9).is_empty());
        assert!(std::ptr::eq(&whole[1], &part[0]));
        assert_eq!(part, Samples::from(vec![2, 3, 4]));
    }
}
