//! How many pods must take calls while others are evicted: what a trunk's disruption budget asks for. Evicts nobody.
//!
//! A pod that is evicted ends as any other does: it takes no further call, its own run on until they end or the deadline hands them
//! over, and the ReplicaSet makes another pod at once. So an eviction costs the permits that the pod had free, for as long as the next
//! pod takes to start. That much a fleet can spare at any time, and it must say so before it is asked: node autoscalers look at the
//! budget first, and never choose a node with a pod that it does not let go. Marked pods are not counted by the budget at all.
//!
//! The number is that of the pods that shall serve, not of those there are: pods that the operator drains, on top of them, neither
//! let others be evicted nor keep them from it.

/// Of `serving` pods, how many must be ready while `max_percent` of them, rounded up, may be evicted.
pub fn least_ready(serving: u32, max_percent: u32) -> u32 {
    let evicted = u64::from(serving).saturating_mul(u64::from(max_percent)).div_ceil(100);
    serving.saturating_sub(u32::try_from(evicted).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_the_pods_may_go_and_be_it_a_part_of_one() {
        let ready = |percent| [0, 1, 2, 3, 4, 5, 10, 1000].map(|serving| least_ready(serving, percent));
        assert_eq!(ready(25), [0, 0, 1, 2, 3, 3, 7, 750]);
        assert_eq!(ready(1), [0, 0, 1, 2, 3, 4, 9, 990]);
        assert_eq!(ready(100), [0; 8]);
    }

    #[test]
    fn none_may_go_at_nought_percent() {
        assert_eq!([0, 1, 7, u32::MAX].map(|serving| least_ready(serving, 0)), [0, 1, 7, u32::MAX]);
    }
}
