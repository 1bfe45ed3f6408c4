//! Work on a disk that may hang: so much of it at a time that a volume that is gone takes no thread from those who look names up or read
//! other files. It knows no deadline; who waits for it has one.

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::{JoinError, spawn_blocking};

/// Threads that may be at the disk, or hang there, at a time. The runtime has 512, and everything else that blocks shares them.
const PLACES: usize = 32;

/// The way to the disk. Clones share its places.
#[derive(Debug, Clone)]
pub(super) struct Disk(Arc<Semaphore>);

impl Default for Disk {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(PLACES)))
    }
}

impl Disk {
    /// Does `work` on a thread of its own, once there is a place; until then nothing but the caller waits.
    pub(super) async fn run<R: Send + 'static>(
        &self,
        work: impl FnOnce() -> R + Send + 'static,
    ) -> Result<R, JoinError> {
        let place = Arc::clone(&self.0).acquire_owned().await.expect("nobody closes it");
        // The thread keeps the place, not who waits for it: they may give up, it can't.
        spawn_blocking(move || {
            let _place = place;
            work()
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_disk_that_hangs_holds_no_more_threads_than_it_has_places() {
        let runtime =
            tokio::runtime::Builder::new_current_thread().max_blocking_threads(PLACES + 1).enable_all().build();
        let (hold, held) = mpsc::channel::<()>();
        let held = Arc::new(std::sync::Mutex::new(held));
        runtime.expect("a runtime").block_on(async {
            let disk = Disk::default();
            let mut calls = Vec::new();
            for _ in 0..PLACES * 4 {
                let (disk, held) = (disk.clone(), Arc::clone(&held));
                calls.push(tokio::spawn(
                    async move { disk.run(move || drop(held.lock().map(|held| held.recv()))).await },
                ));
            }
            while disk.0.available_permits() > 0 {
                tokio::task::yield_now().await;
            }
            // All of them have had their turn to ask for a place.
            tokio::time::sleep(Duration::from_millis(1)).await;
            assert_eq!(spawn_blocking(|| 7).await.expect("a thread is free"), 7);
            // Those who waited have given up; the places come free with the threads.
            calls.iter().for_each(tokio::task::JoinHandle::abort);
            assert_eq!(disk.0.available_permits(), 0);
            drop(hold);
            assert_eq!(disk.run(|| 8).await.expect("the disk is back"), 8);
        });
    }
}
