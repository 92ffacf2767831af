//! Durations as people write them: `250ms`, `10s`, `1m 30s`, and with jitter `250ms±50ms`.

use std::time::Duration;

/// Reads a duration that is not negative.
pub fn parse(text: &str) -> Option<Duration> {
    let span: jiff::SignedDuration = text.trim().parse().ok()?;
    span.try_into().ok()
}

/// Reads a duration that may carry a jitter after `±` or `+-`.
pub fn parse_with_jitter(text: &str) -> Option<(Duration, Option<Duration>)> {
    match text.split_once('±').or_else(|| text.split_once("+-")) {
        Some((span, jitter)) => Some((parse(span)?, Some(parse(jitter)?))),
        None => Some((parse(text)?, None)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_people_write_them() {
        let ms = Duration::from_millis;
        assert_eq!(parse("250ms"), Some(ms(250)));
        assert_eq!(parse("10s"), Some(ms(10_000)));
        assert_eq!(parse("1m 30s"), Some(ms(90_000)));
        assert_eq!(parse_with_jitter("250ms±50ms"), Some((ms(250), Some(ms(50)))));
        assert_eq!(parse_with_jitter("1s +- 5ms"), Some((ms(1_000), Some(ms(5)))));
        for text in ["", "10", "-5s", "soon", "±", "1s±"] {
            assert_eq!(parse_with_jitter(text), None, "{text}");
        }
    }
}
