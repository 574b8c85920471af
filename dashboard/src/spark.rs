//! Counts of the last hours as a line of small bars, drawn here as SVG.

/// Of one bar, in the drawing's own units.
const STEP: usize = 4;
const WIDTH: usize = 3;
const HEIGHT: u64 = 20;

/// Bars, oldest first.
pub(crate) struct Spark {
    /// The outline of all bars.
    pub(crate) path: String,
    pub(crate) bars: usize,
    pub(crate) sum: u64,
}

impl Spark {
    pub(crate) fn of(counts: &[u64]) -> Self {
        let top = counts.iter().copied().max().unwrap_or(0).max(1);
        let mut path = String::new();
        for (place, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            // What there is can be seen, however little it is beside the rest.
            let height = (count * HEIGHT).div_ceil(top);
            path.push_str(&format!("M{} {}h{WIDTH}v{height}h-{WIDTH}z", place * STEP, HEIGHT - height));
        }
        Self { path, bars: counts.len(), sum: counts.iter().sum() }
    }

    pub(crate) fn view_box(&self) -> String {
        format!("0 0 {} {HEIGHT}", self.bars.max(1) * STEP)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_bar_fills_the_line_and_a_low_one_is_seen() {
        let spark = Spark::of(&[0, 1, 1_000]);
        assert_eq!((spark.path.as_str(), spark.sum), ("M4 19h3v1h-3zM8 0h3v20h-3z", 1_001));
        assert_eq!(spark.view_box(), "0 0 12 20");
        assert_eq!(Spark::of(&[]).path, "");
    }
}
