//! `gate ssh-keys`: sshd's `AuthorizedKeysCommand`. Prints the key if it may log in now, and nothing
//! otherwise; it holds no secret and reads no store, so that any unprivileged user may run it.

use farside_service::cli::{Failure, Output};

use super::doorstep::Where;
use crate::config::Config;
use crate::http::pickup_client;

#[derive(Debug, clap::Args)]
pub(super) struct SshKeys {
    /// The account that is logged in to: sshd's %u.
    #[arg(long)]
    user: String,
    /// The key's type: sshd's %t.
    #[arg(long, value_name = "TYPE")]
    key_type: String,
    /// The key in base64: sshd's %k.
    #[arg(long, value_name = "BASE64")]
    key: String,
    #[command(flatten)]
    at: Where,
}

impl SshKeys {
    pub(super) fn run(
        self,
        config: impl FnOnce() -> Result<Config, Failure>,
        output: Output,
    ) -> Result<(), Failure> {
        let key = format!("{} {}", self.key_type, self.key);
        for line in pickup_client::ssh_keys(&self.at.doorstep(config)?, &self.user, &key)? {
            output.say(|| line.clone(), &serde_json::json!({"line": line}))?;
        }
        Ok(())
    }
}
