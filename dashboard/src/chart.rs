//! What became of work over time, drawn here as SVG, with the same figures as a table.

use postrider_core::{domain::UnixMs, store::Tally};

const WIDTH: u32 = 720;
const HEIGHT: u32 = 160;

/// One stretch of time.
pub(crate) struct Bar {
    /// RFC 3339.
    pub(crate) at: String,
    pub(crate) tally: Tally,
}

/// Bars of one chart, oldest first.
pub(crate) struct Chart {
    pub(crate) bars: Vec<Bar>,
    /// The highest bar's count.
    pub(crate) top: u64,
}

/// What a bar is made of, from the bottom up: the class that its colour hangs on, and how many.
fn parts(tally: &Tally) -> [(&'static str, u64); 3] {
    [("succeeded", tally.succeeded), ("retrying", tally.failed), ("dead", tally.dead)]
}

impl Chart {
    pub(crate) fn of(tallies: Vec<(UnixMs, Tally)>) -> Self {
        let bars: Vec<Bar> = tallies.into_iter().map(|(at, tally)| Bar { at: at.to_string(), tally }).collect();
        let height = |bar: &Bar| parts(&bar.tally).iter().map(|(_, count)| count).sum();
        let top = bars.iter().map(height).max().unwrap_or(0);
        Self { bars, top }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.top == 0
    }

    /// The size that the drawing is described in.
    pub(crate) fn view_box(&self) -> String {
        format!("0 0 {WIDTH} {HEIGHT}")
    }

    /// The bars' outlines, one path for each part, so that a chart of many bars stays small. Numbers alone, nothing that
    /// somebody wrote.
    pub(crate) fn paths(&self) -> Vec<(&'static str, String)> {
        let count = u32::try_from(self.bars.len()).unwrap_or(u32::MAX).max(1);
        let step = f64::from(WIDTH) / f64::from(count);
        let unit = f64::from(HEIGHT) / self.top.max(1) as f64;
        let mut paths: Vec<(&'static str, String)> =
            parts(&Tally::default()).into_iter().map(|(class, _)| (class, String::new())).collect();
        for (place, bar) in self.bars.iter().enumerate() {
            let (x, mut y) = (place as f64 * step, f64::from(HEIGHT));
            for ((_, path), (_, count)) in paths.iter_mut().zip(parts(&bar.tally)) {
                if count > 0 {
                    // What there is can be seen, however little it is beside the rest.
                    let height = (count as f64 * unit).max(1.5);
                    y -= height;
                    path.push_str(&format!("M{x:.1} {y:.1}h{:.1}v{height:.1}h-{0:.1}z", step * 0.8));
                }
            }
        }
        paths
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_stand_on_each_other_and_the_highest_fills_the_chart() {
        let tally = |succeeded, dead| Tally { succeeded, dead, ..Tally::default() };
        let chart = Chart::of(vec![(UnixMs(0), tally(30, 10)), (UnixMs(60_000), tally(20, 0))]);
        assert_eq!((chart.top, chart.is_empty()), (40, false));
        assert_eq!(
            chart.paths(),
            [
                ("succeeded", "M0.0 40.0h288.0v120.0h-288.0zM360.0 80.0h288.0v80.0h-288.0z".to_owned()),
                ("retrying", String::new()),
                ("dead", "M0.0 0.0h288.0v40.0h-288.0z".to_owned()),
            ]
        );
        assert!(Chart::of(Vec::new()).is_empty());
    }
}
