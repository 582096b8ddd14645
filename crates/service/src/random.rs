//! Dice: bytes nobody can guess, from the one crypto provider. Code that judges takes them as an argument
//! instead.

/// The operating system gave no random bytes. Nothing may go on without them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the operating system gave no random bytes")]
pub struct Failed;

/// Fills `bytes`.
///
/// # Errors
/// The system's generator failed.
pub fn fill(bytes: &mut [u8]) -> Result<(), Failed> {
    aws_lc_rs::rand::fill(bytes).map_err(|_| Failed)
}

/// `N` random bytes.
///
/// # Errors
/// The system's generator failed.
pub fn bytes<const N: usize>() -> Result<[u8; N], Failed> {
    let mut bytes = [0; N];
    fill(&mut bytes)?;
    Ok(bytes)
}
