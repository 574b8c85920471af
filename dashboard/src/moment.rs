//! Times as people read them: how long ago in sight, the exact time behind it.

use postrider_core::domain::UnixMs;

/// A time beside the time of the page.
#[derive(Clone, Debug)]
pub(crate) struct Moment {
    /// RFC 3339.
    pub(crate) exact: String,
    /// As in "3 min ago" or "in 2 h".
    pub(crate) near: String,
}

impl Moment {
    pub(crate) fn of(at: UnixMs, now: UnixMs) -> Self {
        let ms = now.0.saturating_sub(at.0);
        let near = match length(ms.unsigned_abs()) {
            _ if ms.abs() < 1_000 => "now".to_owned(),
            length if ms > 0 => format!("{length} ago"),
            length => format!("in {length}"),
        };
        Self { exact: at.to_string(), near }
    }
}

/// Units of time in milliseconds, the largest first.
const UNITS: [(u64, &str); 5] = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1_000, "s"), (1, "ms")];

/// A length of time in its largest unit, rounded down.
pub(crate) fn length(ms: u64) -> String {
    let (size, unit) = UNITS.into_iter().find(|(size, _)| ms >= *size).unwrap_or((1, "ms"));
    format!("{} {unit}", ms / size)
}

/// A length of time that somebody has set, to the millisecond: as in "1 h 30 min".
pub(crate) fn exactly(mut ms: u64) -> String {
    let mut parts = Vec::new();
    for (size, unit) in UNITS {
        if ms >= size {
            parts.push(format!("{} {unit}", ms / size));
            ms %= size;
        }
    }
    if parts.is_empty() { length(0) } else { parts.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_told_by_its_distance() {
        let now = UnixMs(1_700_000_000_000);
        let near = |ms: i64| Moment::of(UnixMs(now.0 - ms), now).near;
        assert_eq!(
            [0, 999, 1_000, 59_999, 60_000, 7_199_999, 172_800_000].map(near),
            ["now", "now", "1 s ago", "59 s ago", "1 min ago", "1 h ago", "2 d ago"]
        );
        assert_eq!([-5_000, -3_600_000].map(near), ["in 5 s", "in 1 h"]);
        assert_eq!(Moment::of(now, now).exact, "2023-11-14T22:13:20.000Z");
        assert_eq!([0, 250, 1_500].map(length), ["0 ms", "250 ms", "1 s"]);
        assert_eq!([0, 15_000, 5_400_500].map(exactly), ["0 ms", "15 s", "1 h 30 min 500 ms"]);
    }
}
