//! How commands that ask a running gate find it: by its configuration, or, on a machine that has none, by its
//! address and certificate.

use std::net::SocketAddr;
use std::path::PathBuf;

use farside_service::cli::Failure;

use crate::config::Config;
use crate::http::pickup_client::Doorstep;

#[derive(Debug, clap::Args)]
pub(super) struct Where {
    /// Where the gate listens. Default: as the configuration says, on this machine.
    #[arg(long, value_name = "ADDRESS")]
    gate: Option<SocketAddr>,
    /// With --gate: the PEM file of the certificate that the gate shows, or of its issuer. Without it the
    /// gate is asked in clear, which is for this machine or a trusted network.
    #[arg(long, value_name = "FILE", requires = "gate")]
    gate_certificate: Option<PathBuf>,
    /// The name in the gate's certificate, where it is not `localhost`.
    #[arg(long, value_name = "NAME")]
    tls_name: Option<String>,
}

impl Where {
    /// Reads the configuration only where it is needed.
    pub(super) fn doorstep(
        &self,
        config: impl FnOnce() -> Result<Config, Failure>,
    ) -> Result<Doorstep, Failure> {
        let name = self.tls_name.clone();
        let Some(address) = self.gate else { return Ok(Doorstep::of(&config()?.listen, name)) };
        Ok(Doorstep::at(address, self.gate_certificate.clone(), name))
    }
}
