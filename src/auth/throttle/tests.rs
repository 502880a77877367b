//! Households that guess, on a clock that moves when the test says so.

use super::*;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

fn house(number: u32) -> Household {
    Household::of(std::net::Ipv4Addr::from_bits(number).into())
}

fn user(name: &str) -> UserName {
    UserName::parse(name.as_bytes()).unwrap()
}

/// Asks and, when it is let, finds the password wrong at once; when the reply leaves.
fn guess(throttle: &mut Throttle<u32>, household: Household, ticket: u32, now: Instant) -> Option<Instant> {
    match throttle.ask(household, &user("ada"), ticket, now) {
        Turn::Check => Some(throttle.finish(household, ticket, Verdict::Wrong, now)),
        _ => None,
    }
}

/// So many failures, as fast as that goes; when the last pause is over.
fn fail(throttle: &mut Throttle<u32>, household: Household, times: u32, mut now: Instant) -> Instant {
    for _ in 0..times {
        now = guess(throttle, household, 1, now).unwrap();
    }
    now
}

#[test]
fn each_wrong_password_is_followed_by_a_longer_pause() {
    let (mut throttle, mut now) = (Throttle::default(), Instant::now());
    for seconds in [1, 2, 4, 8, 10, 10, 10] {
        let until = guess(&mut throttle, house(1), 1, now).unwrap();
        assert_eq!(until - now, SECOND * seconds);
        now = until;
    }
    assert_eq!(guess(&mut throttle, house(2), 1, now), Some(now + SECOND), "another household knows nothing of it");
}

#[test]
fn while_one_password_is_checked_the_next_has_to_pause_and_no_longer() {
    let (mut throttle, now) = (Throttle::default(), Instant::now());
    assert_eq!(throttle.ask(house(1), &user("ada"), 1, now), Turn::Check);
    assert_eq!(throttle.ask(house(1), &user("ada"), 2, now), Turn::Pause(now + PATIENCE));
    assert_eq!(throttle.ask(house(1), &user("ada"), 3, now), Turn::Pause(now + PATIENCE));
    assert_eq!(throttle.next(house(1)), None);
    assert_eq!(throttle.finish(house(1), 1, Verdict::Right, now), now);
    assert_eq!(throttle.next(house(1)), Some((2, now)), "a right password is followed by none");
    assert_eq!(throttle.ask(house(1), &user("ada"), 3, now), Turn::Pause(now + PATIENCE), "it is not its turn");
    assert_eq!(throttle.ask(house(1), &user("ada"), 2, now), Turn::Check);
    assert_eq!(throttle.finish(house(1), 2, Verdict::Wrong, now), now + SECOND);
    assert_eq!(throttle.next(house(1)), Some((3, now + SECOND)));
    assert_eq!(throttle.ask(house(1), &user("ada"), 3, now + SECOND / 2), Turn::Pause(now + PATIENCE));
    assert_eq!(throttle.ask(house(1), &user("ada"), 3, now + SECOND), Turn::Check);
}

#[test]
fn guesses_of_an_hour_are_bounded_over_any_number_of_connections() {
    for sockets in [1, 2, 50, 300] {
        let (mut throttle, begin) = (Throttle::default(), Instant::now());
        let (mut now, mut guesses, mut next) = (begin, 0, sockets);
        (0..sockets).for_each(|ticket| guesses += u32::from(guess(&mut throttle, house(1), ticket, now).is_some()));
        while now < begin + HOUR {
            // Whoever was answered, or given up, tries again at once.
            let (ticket, at) = throttle.next(house(1)).unwrap_or((next, now + SECOND / 10));
            now = now.max(at);
            match throttle.ask(house(1), &user("ada"), ticket, now) {
                Turn::Check => {
                    throttle.finish(house(1), ticket, Verdict::Wrong, now);
                    guesses += 1;
                }
                Turn::TooLong | Turn::Pause(_) => {}
            }
            if throttle.lanes[&house(1)].waiting.len() + 1 < sockets as usize {
                let _ = throttle.ask(house(1), &user("ada"), next, now);
                next += 1;
            }
        }
        assert!((350..=GUESSES_AN_HOUR).contains(&guesses), "{guesses} guesses over {sockets} connections");
    }
}

#[test]
fn no_pattern_of_rests_gives_more_guesses_an_hour() {
    // Minutes of rest after every so many guesses; the hour is the busiest of three.
    for (burst, rest) in [1, 2, 3, 4, 5, 8, 20].iter().flat_map(|&burst| (0..15).map(move |rest| (burst, rest * 2))) {
        let (mut throttle, begin) = (Throttle::default(), Instant::now());
        let (mut now, mut guesses) = (begin, vec![]);
        while now < begin + HOUR * 3 {
            guesses.push(now);
            now = guess(&mut throttle, house(1), 1, now).unwrap();
            if guesses.len() % burst == 0 {
                now += SECOND * 60 * rest;
            }
        }
        let before = |moment: Instant| guesses.partition_point(|&at| at < moment);
        let busiest = guesses.iter().map(|&from| before(from + HOUR) - before(from));
        assert!(busiest.max().unwrap() <= GUESSES_AN_HOUR as usize, "{burst} guesses, {rest} minutes of rest");
    }
}

#[test]
fn time_forgives_and_a_right_password_does_not() {
    let (mut throttle, begin) = (Throttle::default(), Instant::now());
    let now = fail(&mut throttle, house(1), 3, begin);
    assert_eq!(throttle.ask(house(1), &user("mallory"), 7, now), Turn::Check);
    throttle.finish(house(1), 7, Verdict::Right, now);
    assert_eq!(guess(&mut throttle, house(1), 1, now), Some(now + SECOND * 8));
    let later = begin + FORGIVEN_AFTER * 3;
    assert_eq!(guess(&mut throttle, house(1), 1, later), Some(later + SECOND * 2));
    let now = fail(&mut throttle, house(1), 100, later + SECOND * 2);
    let later = now + FORGIVEN_AFTER * MOST_FAILURES;
    assert_eq!(guess(&mut throttle, house(1), 1, later), Some(later + SECOND), "an hour forgives everything");
}

#[test]
fn who_hangs_up_during_the_check_has_guessed() {
    let (mut throttle, now) = (Throttle::default(), Instant::now());
    assert_eq!(throttle.ask(house(1), &user("ada"), 1, now), Turn::Check);
    assert_eq!(throttle.ask(house(1), &user("ada"), 2, now), Turn::Pause(now + PATIENCE));
    assert_eq!(throttle.ask(house(1), &user("ada"), 3, now), Turn::Pause(now + PATIENCE));
    throttle.leave(house(1), 1, now);
    throttle.leave(house(1), 2, now);
    assert_eq!(throttle.next(house(1)), Some((3, now + SECOND)));
}

#[test]
fn a_check_that_could_not_be_made_costs_nothing() {
    let (mut throttle, now) = (Throttle::default(), Instant::now());
    assert_eq!(throttle.ask(house(1), &user("ada"), 1, now), Turn::Check);
    assert_eq!(throttle.finish(house(1), 1, Verdict::Unknown, now), now);
    assert!(throttle.lanes.is_empty());
}

#[test]
fn who_has_no_rival_has_his_turn_within_the_longest_pause_and_others_are_given_up() {
    let (mut throttle, begin) = (Throttle::default(), Instant::now());
    let now = fail(&mut throttle, house(1), 9, begin);
    guess(&mut throttle, house(1), 1, now);
    for ticket in [2, 3, 4] {
        assert_eq!(throttle.ask(house(1), &user("ada"), ticket, now), Turn::Pause(now + PATIENCE));
    }
    assert_eq!(throttle.next(house(1)), Some((2, now + LONGEST_PAUSE)));
    assert!(guess(&mut throttle, house(1), 2, now + LONGEST_PAUSE).is_some());
    assert_eq!(throttle.next(house(1)), Some((3, now + PATIENCE)));
    assert_eq!(throttle.ask(house(1), &user("ada"), 3, now + PATIENCE), Turn::TooLong);
    assert_eq!(throttle.next(house(1)), Some((4, now + PATIENCE)));
}

#[test]
fn where_nobody_has_failed_nobody_is_given_up() {
    let (mut throttle, now) = (Throttle::default(), Instant::now());
    assert_eq!(throttle.ask(house(1), &user("ada"), 1, now), Turn::Check);
    assert_eq!(throttle.ask(house(1), &user("bob"), 2, now), Turn::Pause(now + PATIENCE));
    let later = now + PATIENCE;
    assert_eq!(throttle.ask(house(1), &user("bob"), 2, later), Turn::Pause(later + PATIENCE));
    throttle.finish(house(1), 1, Verdict::Right, later);
    assert_eq!(throttle.ask(house(1), &user("bob"), 2, later), Turn::Check);
}

#[test]
fn who_has_logged_in_from_there_goes_before_strangers() {
    let (mut throttle, begin) = (Throttle::default(), Instant::now());
    assert_eq!(throttle.ask(house(1), &user("bob"), 1, begin), Turn::Check);
    throttle.finish(house(1), 1, Verdict::Right, begin);
    for (household, first) in [(house(1), 99), (house(2), 10)] {
        let now = fail(&mut throttle, household, 9, begin);
        guess(&mut throttle, household, 1, now);
        for ticket in 10..60 {
            assert_eq!(throttle.ask(household, &user("ada"), ticket, now), Turn::Pause(now + PATIENCE));
        }
        assert_eq!(throttle.ask(household, &user("bob"), 99, now), Turn::Pause(now + PATIENCE));
        assert_eq!(throttle.next(household), Some((first, now + LONGEST_PAUSE)));
    }
}

#[test]
fn a_user_is_at_home_in_the_last_households_only() {
    let (mut throttle, now) = (Throttle::default(), Instant::now());
    for number in 0..=HOMES as u32 {
        assert_eq!(throttle.ask(house(number), &user("bob"), 1, now), Turn::Check);
        throttle.finish(house(number), 1, Verdict::Right, now);
    }
    let homes = &throttle.homes[&user("bob")];
    assert!(homes.len() == HOMES && !homes.contains(&house(0)) && homes.contains(&house(1)));
}

#[test]
fn the_table_is_bounded_and_forgets_the_lesser_offender() {
    let (mut throttle, begin) = (Throttle::default(), Instant::now());
    let now = fail(&mut throttle, house(0), 5, begin);
    let last = REMEMBERED as u32 + 100;
    for number in 1..=last {
        guess(&mut throttle, house(number), 1, now);
        assert!(throttle.lanes.len() <= REMEMBERED);
    }
    assert_eq!(guess(&mut throttle, house(0), 1, now), Some(now + LONGEST_PAUSE), "the worst one is still known");
    let newest = house(last);
    assert_eq!(guess(&mut throttle, newest, 1, now), None, "and the newest one has its pause");
    for ticket in 1..9 {
        throttle.leave(newest, ticket, now);
    }
    assert_eq!(guess(&mut throttle, newest, 1, now + SECOND), Some(now + SECOND * 3));
}
