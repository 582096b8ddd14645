//! What stands in for devices in a program without PKCS#11: it says so, whatever is asked.

use std::path::{Path, PathBuf};

use farside_verify::Algorithm;

use super::fault::DeviceFault;
use super::pin::Pin;
use crate::keys::public::PublicKey;
use crate::keys::uri::TokenName;

/// Whether this program can use tokens.
pub(super) const BUILT: bool = false;

#[derive(Debug)]
pub(super) struct Device(PathBuf);

impl Device {
    pub(super) fn new(_: &TokenName, module: &Path) -> Device {
        Device(module.to_owned())
    }

    pub(super) fn module(&self) -> &Path {
        &self.0
    }

    pub(super) fn make(
        &self,
        _: &Pin,
        _: Algorithm,
        _: impl FnOnce(&PublicKey) -> Option<(Vec<u8>, String)>,
    ) -> Result<(Vec<u8>, PublicKey), DeviceFault> {
        Err(DeviceFault::NotBuilt)
    }

    pub(super) fn sign(&self, _: &Pin, _: &[u8], _: Algorithm, _: &[u8]) -> Result<Vec<u8>, DeviceFault> {
        Err(DeviceFault::NotBuilt)
    }

    pub(super) fn destroy(&self, _: &Pin, _: &[u8]) -> Result<(), DeviceFault> {
        Err(DeviceFault::NotBuilt)
    }

    pub(super) fn look(&self, _: &Pin, _: &[Vec<u8>], _: bool) -> Result<Vec<Vec<u8>>, DeviceFault> {
        Err(DeviceFault::NotBuilt)
    }
}

#[cfg(test)]
mod tests {
    use crate::keys::{TokenConfig, TokenFault, Tokens};

    #[test]
    fn a_configured_token_is_refused_with_a_sentence() {
        let (module, label) = ("/none.so".into(), Some("vault".to_owned()));
        let section = TokenConfig { module, label, serial: None, pin_file: None };
        let refused = Tokens::configure(&[section], std::path::Path::new(".")).unwrap_err();
        assert!(matches!(refused, TokenFault::NotBuilt));
        assert!(refused.to_string().contains("built without PKCS#11"), "{refused}");
    }
}
