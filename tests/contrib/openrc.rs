//! The init script, by OpenRC itself on a copy of this machine: `tests/contrib/openrc.sh` tells the story.

use std::path::PathBuf;

use crate::common::{needs, needs_root};
use crate::{on_a_copy, ours, poppet};

#[test]
fn init_script_checks_starts_reloads_restarts_what_was_killed_and_stops() {
    // OpenRC is for machines that run it. Debian's packages of it, in a folder, do for a copy of one that does not.
    let packages = std::env::var_os("POPPET_OPENRC").map(PathBuf::from);
    if (packages.is_none() && !needs("openrc-run")) || !(needs_root() && needs("unshare") && needs("curl")) {
        return;
    }
    let packages = packages.unwrap_or("/".into());
    println!("{}", on_a_copy("openrc.sh", &[&ours(""), poppet(), &packages]));
}
