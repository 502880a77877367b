//! Landlock: which files the server's process can reach at all, by the kernel's word.
//!
//! Owns: the rights that are taken away, and what the log says of it.
//! Does not know: why a folder is needed. Where the kernel has no Landlock, nothing is confined and nothing fails.

use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetError, RulesetStatus, Scope,
};

/// What is still open to the process.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Reach {
    /// Folders with mail: files there may be read, made, renamed and removed.
    pub mail: Vec<PathBuf>,
    /// Folders whose files may be read.
    pub read: Vec<PathBuf>,
}

/// From here on this thread, and those that it starts, reach no more than `reach`, start no program, open no
/// connection, bind no port, and signal nobody outside. Says in one log line what the kernel made of it.
pub fn confine(reach: &Reach) {
    match restrict(reach) {
        Ok(RulesetStatus::NotEnforced) => {
            log::info!(
                "Landlock: this kernel has none, or has it switched off; the server is confined by its user only"
            );
        }
        Ok(status) => {
            let how = if status == RulesetStatus::FullyEnforced { "" } else { ", as far as this kernel knows it" };
            if reach.mail.iter().any(|path| path.parent().is_none()) {
                log::info!(
                    "Landlock: files can be written anywhere, as mail is in {{home}}; nothing can be started or \
                     connected to{how}"
                );
                return;
            }
            let mail: Vec<_> = reach.mail.iter().map(|path| path.display().to_string()).collect();
            log::info!("Landlock: no file outside {} can be written{how}", mail.join(", "));
        }
        Err(error) => log::warn!("Landlock: {error}; the server is confined by its user only"),
    }
}

fn restrict(reach: &Reach) -> Result<RulesetStatus, RulesetError> {
    let abi = ABI::V6;
    let ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(abi))?
        .handle_access(AccessNet::from_all(abi))?
        // The socket to systemd may be an abstract one; only signals are kept inside.
        .scope(Scope::Signal)?;
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let mail =
        read | AccessFs::WriteFile | AccessFs::MakeReg | AccessFs::RemoveFile | AccessFs::Refer | AccessFs::Truncate;
    let mut created = ruleset.create()?;
    for (paths, rights) in [(&reach.mail, mail), (&reach.read, read)] {
        for path in paths {
            created = allow(created, path, rights)?;
        }
    }
    Ok(created.restrict_self()?.ruleset)
}

/// A folder that is not there has nothing to be reached.
fn allow(
    created: landlock::RulesetCreated,
    path: &Path,
    rights: BitFlags<AccessFs>,
) -> Result<landlock::RulesetCreated, RulesetError> {
    match PathFd::new(path) {
        Ok(folder) => created.add_rule(PathBeneath::new(folder, rights)),
        Err(error) => {
            log::debug!("Landlock: {error}");
            Ok(created)
        }
    }
}
