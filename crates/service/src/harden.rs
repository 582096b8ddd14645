//! Makes the running process keep its memory to itself. Every program of Farside calls it first: keys and
//! tokens live in that memory, and a core dump would carry them to disk.

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

/// Forbids core dumps and, where the kernel allows it, reading this process's memory by others of the same
/// user.
///
/// A kernel that refuses either leaves the process no worse than before, so there is nothing to report; the
/// limit is set with both halves at zero, which no later code of ours can raise again.
pub fn harden() {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    let limited = setrlimit(Resource::Core, none);
    let hidden = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    if limited.is_err() && hidden.is_err() {
        tracing::warn!("the kernel refused to forbid core dumps");
    }
}

#[cfg(test)]
mod tests {
    use rustix::process::{Resource, dumpable_behavior, getrlimit};

    #[test]
    fn a_hardened_process_leaves_no_core() {
        super::harden();
        assert_eq!(getrlimit(Resource::Core).current, Some(0));
        assert_eq!(dumpable_behavior().unwrap(), rustix::process::DumpableBehavior::NotDumpable);
    }
}
