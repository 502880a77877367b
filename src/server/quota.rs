//! How many lines of the log a stranger may cause.
//!
//! Owns: the count of lines of each kind for each household within a minute, and the one line that tells how many are
//! missing.
//! Does not know: what the lines say, the clock. It is told the time.

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

use crate::auth::household::Household;

/// Kinds of lines, each counted alone.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Kind {
    /// Wrong passwords. Nothing else that a stranger does may keep these from whoever bans him for them.
    Denial,
    /// All others.
    Other,
}

/// Lines of a kind that each household may cause within [`WINDOW`].
pub const LINES: u32 = 10;
/// From its first line on.
pub const WINDOW: Duration = Duration::from_secs(60);
/// Counts that are kept. Households that come when there are so many share one for each kind.
const COUNTED: usize = 10_000;

/// The lines of the last minute.
#[derive(Default, Debug)]
pub struct Quota {
    /// Lines that were wanted.
    wanted: HashMap<Source, u32>,
    /// When each count ends. They are all of one length, so the first one that began is the first one that ends.
    ends: VecDeque<(Instant, Source)>,
}

/// No household is everybody who is not counted alone.
type Source = (Kind, Option<Household>);

impl Quota {
    /// Whether one more line of that kind about `household` may be written.
    pub fn allows(&mut self, kind: Kind, household: Household, now: Instant) -> bool {
        self.expire(now);
        let alone = self.wanted.len() < COUNTED || self.wanted.contains_key(&(kind, Some(household)));
        let source = (kind, alone.then_some(household));
        let wanted = self.wanted.entry(source).or_insert_with(|| {
            self.ends.push_back((now + WINDOW, source));
            0
        });
        *wanted += 1;
        *wanted <= LINES
    }

    /// Ends the counts whose minute is over, and says how many lines are missing.
    pub fn expire(&mut self, now: Instant) {
        while let Some(&(_, source)) = self.ends.front().filter(|(end, _)| *end <= now) {
            self.ends.pop_front();
            if let Some(line) = self.end(source) {
                log::warn!("{line}");
            }
        }
    }

    /// How long no count ends.
    pub fn until_next(&self, now: Instant) -> Option<Duration> {
        self.ends.front().map(|(end, _)| end.saturating_duration_since(now))
    }

    fn end(&mut self, source: Source) -> Option<String> {
        let missing = self.wanted.remove(&source)?.checked_sub(LINES).filter(|&missing| missing > 0)?;
        let (kind, whom) = source;
        let whom = whom.map_or("many other addresses".to_owned(), |household| household.to_string());
        let what = if kind == Kind::Denial { "wrong passwords" } else { "troubles" };
        Some(format!("{missing} more {what} from {whom} within a minute, each of which had no line"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn house(number: u32) -> Household {
        Household::of(std::net::Ipv4Addr::from_bits(number).into())
    }

    #[test]
    fn a_household_has_its_lines_a_minute_and_one_that_tells_of_the_rest() {
        let (mut quota, now) = (Quota::default(), Instant::now());
        let written =
            |quota: &mut Quota, number, now| (0..25).filter(|_| quota.allows(Kind::Other, house(number), now)).count();
        assert_eq!(written(&mut quota, 1, now), 10);
        assert_eq!(written(&mut quota, 2, now + WINDOW / 2), 10);
        assert_eq!(quota.until_next(now), Some(WINDOW));
        assert_eq!(written(&mut quota, 1, now + WINDOW - Duration::from_nanos(1)), 0);
        let told = quota.end((Kind::Other, Some(house(1))));
        assert_eq!(told.as_deref(), Some("40 more troubles from 0.0.0.1 within a minute, each of which had no line"));
        assert_eq!(written(&mut quota, 1, now + WINDOW), 10);
        quota.expire(now + WINDOW * 3);
        assert!(quota.wanted.is_empty() && quota.until_next(now).is_none());
    }

    #[test]
    fn nothing_else_keeps_wrong_passwords_out_of_the_log() {
        let (mut quota, now) = (Quota::default(), Instant::now());
        assert_eq!((0..100).filter(|_| quota.allows(Kind::Other, house(1), now)).count(), 10);
        assert_eq!((0..100).filter(|_| quota.allows(Kind::Denial, house(1), now)).count(), 10);
    }

    #[test]
    fn who_stays_below_is_not_told_of() {
        let (mut quota, now) = (Quota::default(), Instant::now());
        assert!((0..LINES).all(|_| quota.allows(Kind::Other, house(1), now)));
        assert_eq!(quota.end((Kind::Other, Some(house(1)))), None);
    }

    #[test]
    fn ever_so_many_households_share_one_count() {
        let (mut quota, now) = (Quota::default(), Instant::now());
        let written = (0..COUNTED as u32 + 100).filter(|&number| quota.allows(Kind::Other, house(number), now)).count();
        assert_eq!((written, quota.wanted.len()), (COUNTED + LINES as usize, COUNTED + 1));
        assert!(quota.allows(Kind::Other, house(1), now), "who is counted alone stays so");
        let told = quota.end((Kind::Other, None));
        assert_eq!(
            told.as_deref(),
            Some("90 more troubles from many other addresses within a minute, each of which had no line")
        );
    }
}
