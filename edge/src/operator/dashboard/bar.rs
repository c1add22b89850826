//! A CRL's validity as a bar with thisUpdate, the refresh time, now and nextUpdate.

use crate::time::Timestamp;

/// Positions on the bar, in thousandths of its width.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bar {
    /// Where the validity starts: thisUpdate.
    pub(crate) from: u64,
    /// The length of the validity.
    pub(crate) width: u64,
    /// The part of the validity that has passed.
    pub(crate) elapsed: u64,
    /// The refresh time, if it lies on the bar.
    pub(crate) refresh: Option<u64>,
    pub(crate) now: u64,
}

impl Bar {
    /// The bar spans thisUpdate to nextUpdate, extended to `now` if that lies outside.
    #[must_use]
    pub(crate) fn new(
        this_update: Timestamp,
        next_update: Timestamp,
        refresh: Option<Timestamp>,
        now: Timestamp,
    ) -> Self {
        let (first, last) = (this_update.min(now), next_update.max(now));
        let whole = last.millis_since(first).max(1);
        let at = |moment: Timestamp| {
            let part = moment.millis_since(first).saturating_mul(1000);
            part.checked_div(whole).unwrap_or(0).min(1000)
        };
        let from = at(this_update);
        Self {
            from,
            width: at(next_update).saturating_sub(from),
            elapsed: at(now.min(next_update)).saturating_sub(from),
            refresh: refresh
                .filter(|refresh| (first..=last).contains(refresh))
                .map(at),
            now: at(now),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn a_valid_crl_fills_the_bar() {
        let bar = Bar::new(at(1000), at(2000), Some(at(1670)), at(1500));
        assert_eq!(
            bar,
            Bar {
                from: 0,
                width: 1000,
                elapsed: 500,
                refresh: Some(670),
                now: 500
            }
        );
    }

    #[test]
    fn an_expired_crl_ends_before_now() {
        let bar = Bar::new(at(1000), at(2000), Some(at(9000)), at(3000));
        assert_eq!(
            bar,
            Bar {
                from: 0,
                width: 500,
                elapsed: 500,
                refresh: None,
                now: 1000
            }
        );
    }

    #[test]
    fn a_clock_that_is_behind_does_no_harm() {
        let bar = Bar::new(at(1000), at(2000), None, at(0));
        assert_eq!(
            (bar.from, bar.width, bar.elapsed, bar.now),
            (500, 500, 0, 0)
        );
        assert_eq!(Bar::new(at(5), at(5), None, at(5)).width, 0);
    }
}
