//! What an allocation takes, for who counts memory.

use std::mem::size_of;

/// What jemalloc takes for so many bytes: steps of 16 up to 64, then of a quarter of the power of two
/// below (jemalloc(3), "Size classes").
pub(crate) fn allocated(bytes: usize) -> usize {
    const SMALLEST_STEP: usize = 16;
    let power = bytes.saturating_sub(1).checked_ilog2().map_or(0, |log| 1_usize << log);
    bytes.next_multiple_of((power / 4).max(SMALLEST_STEP))
}

/// What a value takes behind an `Arc`, whose two counts stand before it.
pub(crate) fn allocated_shared<T>() -> usize {
    allocated(size_of::<T>() + 2 * size_of::<usize>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_go_up_to_the_next_of_four_between_powers_of_two() {
        for (bytes, taken) in [
            (0, 0),
            (1, 16),
            (16, 16),
            (64, 64),
            (65, 80),
            (128, 128),
            (129, 160),
            (700, 768),
            (4_096, 4_096),
            (4_600, 5_120),
            (12_000, 12_288),
            (1 << 20, 1 << 20),
            ((1 << 20) + 1, 5 << 18),
        ] {
            assert_eq!(allocated(bytes), taken, "{bytes}");
        }
    }
}
