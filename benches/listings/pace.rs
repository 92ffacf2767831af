//! A clock that runs faster than the machine's for a while, so that a shop's minutes pass while it
//! warms up.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use csu_edge::clock::Clock;

/// How often the clock moves.
const TICK: Duration = Duration::from_millis(1);

/// The clock, and what moves it. Dropped, the clock stands still.
pub(crate) struct Pace {
    pub(crate) clock: Clock,
    times: Arc<AtomicU32>,
    is_over: Arc<AtomicBool>,
}

impl Pace {
    /// From now on, at the machine's own pace.
    pub(crate) fn start() -> Self {
        let clock = Clock::manual(Clock::system().now());
        let times = Arc::new(AtomicU32::new(1));
        let is_over = Arc::new(AtomicBool::new(false));
        let pace = Self { clock, times, is_over };
        let (clock, times) = (pace.clock.clone(), Arc::clone(&pace.times));
        let is_over = Arc::clone(&pace.is_over);
        thread::spawn(move || {
            let mut moved = Instant::now();
            while !is_over.load(Ordering::Relaxed) {
                thread::sleep(TICK);
                // The clock counts in whole milliseconds: what is left over is for the next time.
                let passed = Duration::from_millis(moved.elapsed().as_millis() as u64);
                moved += passed;
                clock.advance(passed * times.load(Ordering::Relaxed));
            }
        });
        pace
    }

    /// So many times as fast as the machine's.
    pub(crate) fn set(&self, times: u32) {
        self.times.store(times, Ordering::Relaxed);
    }

    pub(crate) fn times(&self) -> u32 {
        self.times.load(Ordering::Relaxed)
    }
}

impl Drop for Pace {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}
