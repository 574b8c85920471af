//! What became of work over time, drawn here as SVG between its axes, with the same figures as a table.

use postrider_core::{domain::UnixMs, store::Tally};

const WIDTH: u32 = 720;
const HEIGHT: u32 = 160;
/// Parts that the times along the bottom divide the chart into.
const QUARTERS: u32 = 4;
const DAY_MS: i64 = 86_400_000;

/// One stretch of time.
pub(crate) struct Bar {
    /// RFC 3339.
    pub(crate) exact: String,
    /// The same as people read it, in UTC: the hour, with the day where the chart has several.
    pub(crate) at: String,
    pub(crate) tally: Tally,
}

/// Bars of one chart, oldest first, with a line above them.
pub(crate) struct Chart {
    pub(crate) bars: Vec<Bar>,
    /// What the chart's height stands for: even, round, and no less than any bar.
    pub(crate) top: u64,
}

/// What a bar is made of, from the bottom up: the class that its colour hangs on, and how many.
fn parts(tally: &Tally) -> [(&'static str, u64); 3] {
    [("succeeded", tally.succeeded), ("retrying", tally.failed), ("dead", tally.dead)]
}

impl Chart {
    pub(crate) fn of(tallies: Vec<(UnixMs, Tally)>) -> Self {
        let span_ms = tallies.last().map_or(0, |last| last.0.0 - tallies[0].0.0);
        let bar = |(at, tally): (UnixMs, Tally)| {
            let exact = at.to_string();
            let from = if span_ms < DAY_MS { 11 } else { 5 };
            Bar { at: exact.get(from..16).unwrap_or_default().replace('T', " "), exact, tally }
        };
        let bars: Vec<Bar> = tallies.into_iter().map(bar).collect();
        let height = |bar: &Bar| parts(&bar.tally).iter().map(|(_, count)| count).sum::<u64>().max(bar.tally.accepted);
        let top = bars.iter().map(height).max().unwrap_or(0);
        Self { bars, top: round_up(top) }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.top == 0
    }

    /// The size that the drawing is described in.
    pub(crate) fn view_box(&self) -> String {
        format!("0 0 {WIDTH} {HEIGHT}")
    }

    /// What stands along the bottom: when each quarter begins.
    pub(crate) fn times(&self) -> impl Iterator<Item = &str> {
        let quarters = QUARTERS as usize;
        (0..quarters)
            .filter_map(move |place| self.bars.get(self.bars.len() * place / quarters))
            .map(|bar| bar.at.as_str())
    }

    /// Lines at the top, at half of it, and where the quarters begin.
    pub(crate) fn grid(&self) -> String {
        let across = [0, HEIGHT / 2].map(|y| format!("M0 {y}H{WIDTH}"));
        let down = (1..QUARTERS).map(|place| format!("M{} 0V{HEIGHT}", place * WIDTH / QUARTERS));
        across.into_iter().chain(down).collect()
    }

    /// How many were accepted, as a line of steps.
    pub(crate) fn accepted(&self) -> String {
        let (step, unit) = self.units();
        let mut path = String::new();
        for (place, bar) in self.bars.iter().enumerate() {
            let y = f64::from(HEIGHT) - bar.tally.accepted as f64 * unit;
            let sign = if place == 0 { format!("M0 {y:.1}") } else { format!("V{y:.1}") };
            path.push_str(&format!("{sign}H{:.1}", (place + 1) as f64 * step));
        }
        path
    }

    /// The bars' outlines, one path for each part, so that a chart of many bars stays small. Numbers alone, nothing that
    /// somebody wrote.
    pub(crate) fn paths(&self) -> Vec<(&'static str, String)> {
        let (step, unit) = self.units();
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

    /// The width of a bar with the gap behind it, and the height of one.
    fn units(&self) -> (f64, f64) {
        let count = u32::try_from(self.bars.len()).unwrap_or(u32::MAX).max(1);
        (f64::from(WIDTH) / f64::from(count), f64::from(HEIGHT) / self.top.max(1) as f64)
    }
}

/// The next number that is 2, 4, 6, 8 or 10 times a power of ten, so that its half is whole and both are read at a glance.
fn round_up(count: u64) -> u64 {
    let mut unit = 1_u64;
    while count > unit.saturating_mul(10) {
        unit = unit.saturating_mul(10);
    }
    count.div_ceil(unit * 2) * unit * 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_stand_on_each_other_and_what_was_accepted_above_them() {
        let tally = |accepted, succeeded, dead| Tally { accepted, succeeded, dead, ..Tally::default() };
        let chart = Chart::of(vec![(UnixMs(0), tally(20, 30, 10)), (UnixMs(60_000), tally(40, 20, 0))]);
        assert_eq!((chart.top, chart.is_empty()), (40, false));
        assert_eq!(
            chart.paths(),
            [
                ("succeeded", "M0.0 40.0h288.0v120.0h-288.0zM360.0 80.0h288.0v80.0h-288.0z".to_owned()),
                ("retrying", String::new()),
                ("dead", "M0.0 0.0h288.0v40.0h-288.0z".to_owned()),
            ]
        );
        assert_eq!(chart.accepted(), "M0 80.0H360.0V0.0H720.0");
        assert!(Chart::of(Vec::new()).is_empty());
    }

    #[test]
    fn axes_have_round_counts_and_times_that_tell_the_day_where_there_are_several() {
        assert_eq!(
            [0, 1, 2, 3, 9, 11, 37, 61, 100, 101, 999].map(round_up),
            [0, 2, 2, 4, 10, 20, 40, 80, 100, 200, 1_000]
        );
        let bars = |ms: i64| Chart::of((0..8).map(|place| (UnixMs(place * ms), Tally::default())).collect());
        let times = |chart: &Chart| chart.times().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(times(&bars(60_000)), ["00:00", "00:02", "00:04", "00:06"]);
        assert_eq!(times(&bars(DAY_MS / 2)), ["01-01 00:00", "01-02 00:00", "01-03 00:00", "01-04 00:00"]);
    }
}
