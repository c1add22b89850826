//! A figure over time as a polyline in an SVG of 600 by 100.

use std::fmt::Write as _;

use crate::events::{Event, Outcome};
use crate::time::Timestamp;

const WIDTH: u64 = 600;
const HEIGHT: u64 = 100;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plot {
    pub(crate) title: &'static str,
    /// The `points` attribute of the `polyline`: `x,y x,y …`.
    pub(crate) points: String,
    pub(crate) least: String,
    pub(crate) most: String,
    /// The newest value.
    pub(crate) last: String,
}

/// A refresh on the time axis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) x: u64,
    pub(crate) outcome: Outcome,
}

/// The line through `figure` of the events that have one; none if fewer than two have. `said`
/// formats its values.
#[must_use]
pub(crate) fn plot(
    title: &'static str,
    events: &[Event],
    figure: impl Fn(&Event) -> Option<u64>,
    said: impl Fn(u64) -> String,
) -> Option<Plot> {
    let mut values: Vec<(Timestamp, u64)> = events
        .iter()
        .filter_map(|event| Some((event.started_at.parse().ok()?, figure(event)?)))
        .collect();
    values.sort_unstable();
    let (first, _) = values.first()?;
    let (end, newest) = values.last().filter(|(end, _)| end > first)?;
    let least = values.iter().map(|(_, value)| *value).min()?;
    let most = values.iter().map(|(_, value)| *value).max()?;
    let mut points = String::new();
    for (moment, value) in &values {
        let x = across(*moment, *first, *end);
        let above = value.saturating_sub(least).saturating_mul(HEIGHT);
        // If all values are equal, the line runs through the middle.
        let above = above
            .checked_div(most.saturating_sub(least))
            .unwrap_or(HEIGHT / 2);
        let y = HEIGHT.saturating_sub(above);
        // Writing to a string cannot fail.
        let _ = write!(points, "{x},{y} ");
    }
    Some(Plot {
        title,
        points: points.trim_end().to_owned(),
        least: said(least),
        most: said(most),
        last: said(*newest),
    })
}

#[must_use]
pub(crate) fn marks(events: &[Event]) -> Vec<Mark> {
    let moments: Vec<(Timestamp, Outcome)> = events
        .iter()
        .filter_map(|event| Some((event.started_at.parse().ok()?, event.outcome)))
        .collect();
    let first = moments.iter().map(|(moment, _)| *moment).min();
    let end = moments.iter().map(|(moment, _)| *moment).max();
    let (Some(first), Some(end)) = (first, end) else {
        return Vec::new();
    };
    moments
        .into_iter()
        .map(|(moment, outcome)| Mark {
            x: across(moment, first, end),
            outcome,
        })
        .collect()
}

fn across(moment: Timestamp, first: Timestamp, end: Timestamp) -> u64 {
    let part = moment.millis_since(first).saturating_mul(WIDTH);
    part.checked_div(end.millis_since(first)).unwrap_or(WIDTH)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::dashboard::view::grouped;
    use crate::tables::testing::event;

    #[test]
    fn a_line_goes_from_the_oldest_to_the_newest_and_from_the_least_to_the_most() {
        let mut events = [event(3), event(2), event(1)];
        events[0].revoked_count = Some(30);
        events[1].revoked_count = Some(10);
        events[2].revoked_count = Some(20);
        let plot = plot("Entries", &events, |event| event.revoked_count, grouped).unwrap();
        assert_eq!(plot.points, "0,50 300,100 600,0");
        assert_eq!([plot.least, plot.most, plot.last], ["10", "30", "30"]);
    }

    #[test]
    fn one_value_is_no_line_and_equal_values_are_a_level_one() {
        let size = |event: &Event| event.size_bytes;
        assert_eq!(plot("Size", &[event(1)], size, grouped), None);
        assert_eq!(plot("Size", &[event(2), event(1)], |_| None, grouped), None);
        let level = plot("Size", &[event(2), event(1)], size, grouped).unwrap();
        assert_eq!(level.points, "0,50 600,50");
    }

    #[test]
    fn every_refresh_leaves_a_mark() {
        let places: Vec<_> = marks(&[event(3), event(1)])
            .iter()
            .map(|mark| mark.x)
            .collect();
        assert_eq!(places, [600, 0]);
        assert_eq!(marks(&[]), []);
    }
}
