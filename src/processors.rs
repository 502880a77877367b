//! How many threads can run at once.
//!
//! Owns: the question. std's answer reads control groups as well, from files that a confined server can't open.
//! Does not know: what for.

/// Processors that this thread may run on; 1 where the system doesn't say.
pub fn processors() -> usize {
    #[cfg(target_os = "linux")]
    let count = rustix::thread::sched_getaffinity(None).map_or(1, |set| set.count() as usize);
    #[cfg(not(target_os = "linux"))]
    let count = std::thread::available_parallelism().map_or(1, usize::from);
    count
}

#[cfg(test)]
mod tests {
    #[test]
    fn it_is_what_std_says_where_no_control_group_says_less() {
        let std = std::thread::available_parallelism().unwrap().get();
        assert!(super::processors() >= std, "{} of {std}", super::processors());
    }
}
