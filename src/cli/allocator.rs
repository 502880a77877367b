//! How the C library's allocator behaves in a server: small, and giving back what it took.
//!
//! Owns: the settings, and the one way to make them without `unsafe`: glibc reads them when a program starts,
//! so the program starts itself once more, as the same process.
//! Does not know: what allocates.
//!
//! Left alone, glibc keeps what a session to 100,000 messages has used, in an arena for each thread.

use std::{env, os::unix::process::CommandExt, process::Command};

/// One arena: the loop and its workers allocate little at a time. Large blocks are mapped, and so given back at once
/// when they are freed: without a fixed threshold glibc raises it up to 32 MiB. What is free at the heap's end goes too.
pub const SETTINGS: [(&str, &str); 3] =
    [("MALLOC_ARENA_MAX", "1"), ("MALLOC_MMAP_THRESHOLD_", "65536"), ("MALLOC_TRIM_THRESHOLD_", "65536")];

/// Begins anew with the settings, unless somebody has set any of them: this one, before, or the operator.
///
/// Does nothing where the C library is another one, or where the program can't be started again.
pub fn settle() {
    if !cfg!(target_env = "gnu") || SETTINGS.iter().any(|(name, _)| env::var_os(name).is_some()) {
        return;
    }
    if let Ok(program) = env::current_exe() {
        // Returns only where it failed; then memory is a little more, and all else as it should be.
        let _ = Command::new(program).args(env::args_os().skip(1)).envs(SETTINGS).exec();
    }
}
