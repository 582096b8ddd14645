//! Why what was to be committed is taken back: for imports and break-glass, whose judgements stand inside the
//! transaction that they change.

use std::convert::Infallible;

use farside_crossing::Refusal;
use farside_service::cli::Failure;

use crate::store::StoreFault;
use crate::trust::TrustFault;

/// Why nothing is committed; `Why` is what else there may be.
pub(crate) enum Trouble<Why = Infallible> {
    /// It is refused, and that is its answer.
    Refused(Refusal),
    /// The gate cannot work.
    Broken(Failure),
    /// Neither.
    Otherwise(Why),
}

impl<Why> From<Refusal> for Trouble<Why> {
    fn from(refusal: Refusal) -> Self {
        Trouble::Refused(refusal)
    }
}

impl<Why> From<StoreFault> for Trouble<Why> {
    fn from(fault: StoreFault) -> Self {
        Trouble::Broken(fault.into())
    }
}

impl<Why> From<TrustFault> for Trouble<Why> {
    fn from(fault: TrustFault) -> Self {
        Trouble::Broken(fault.into())
    }
}

impl<Why> From<Failure> for Trouble<Why> {
    fn from(failure: Failure) -> Self {
        Trouble::Broken(failure)
    }
}
