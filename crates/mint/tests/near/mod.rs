//! A mint founded by its own command in a folder of its own, and the outsider who looks at its log.
#![allow(dead_code, clippy::unwrap_used, clippy::panic, reason = "test support, used in part by each file")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use farside_mint::config::Mint;
use farside_mint::keys::{LogKeyFile, Passphrase};
use farside_mint::log::{IssuanceLog, Opening, TokenEntry};
use farside_service::secret_file::Secret;
use farside_service::time::now_unix_micros;
use farside_verify::encode::base64url;
use serde_json::Value;

pub(crate) const NOW: u64 = 1_764_000_000;

/// A mint founded by its own command, in a folder of its own.
pub(crate) struct Near {
    folder: tempfile::TempDir,
}

impl Near {
    pub(crate) fn founded() -> Near {
        use std::os::unix::fs::PermissionsExt as _;
        let near = Near { folder: tempfile::tempdir().unwrap() };
        let passphrase = near.folder.path().join("pw");
        fs::write(&passphrase, "correct horse battery\n").unwrap();
        fs::set_permissions(&passphrase, fs::Permissions::from_mode(0o600)).unwrap();
        near.mint("init --dir near --realm acme --passphrase-file pw");
        near
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn mint(&self, line: &str) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_farside-mint"));
        let output = command.args(line.split(' ')).current_dir(self.folder.path()).output().unwrap();
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    pub(crate) fn log(&self) -> Arc<IssuanceLog> {
        let mint = Mint::open(&self.path("near/mint.toml")).unwrap();
        let passphrase = Passphrase::new(Secret::new(b"correct horse battery".to_vec().into()));
        let opening = Opening {
            folder: &mint.home.log(),
            lock: &mint.lock(),
            key: LogKeyFile::new(mint.home.log_key(), Arc::new(passphrase)),
            clock: now_unix_micros,
            carried: &[],
        };
        IssuanceLog::open(opening, NOW, NOW).unwrap().0
    }

    /// What the outsider says of the log, with these further arguments.
    pub(crate) fn checked(&self, arguments: &[&str]) -> Value {
        self.checked_at("near/log/tiles", arguments)
    }

    /// The same of a log that lies elsewhere.
    pub(crate) fn checked_at(&self, tiles: &str, arguments: &[&str]) -> Value {
        let tool = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tools/check_log.py");
        let mut command = Command::new("python3");
        command.arg(tool).arg(tiles).args(["--key", "near/keys/log.pub"]).args(arguments);
        let output = command.current_dir(self.folder.path()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let value: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{said}"));
        assert_eq!(output.status.code(), Some(if value["agrees"] == true { 0 } else { 1 }), "{said}");
        value
    }

    #[track_caller]
    pub(crate) fn finds(&self, arguments: &[&str], words: &str) {
        let checked = self.checked(arguments);
        let findings = checked["findings"].to_string();
        assert!(checked["agrees"] == false && findings.contains(words), "{checked}");
    }

    /// Changes a file, looks, and puts it back.
    #[track_caller]
    pub(crate) fn tampered(&self, file: &str, change: impl FnOnce(&mut Vec<u8>), words: &str) {
        let whole = fs::read(self.path(file)).unwrap();
        let mut changed = whole.clone();
        change(&mut changed);
        fs::write(self.path(file), changed).unwrap();
        self.finds(&["--export", "export.jsonl", "--older", "older"], words);
        fs::write(self.path(file), whole).unwrap();
    }
}

pub(crate) fn issue(log: &Arc<IssuanceLog>, shard: &str, numbers: std::ops::Range<u64>) {
    let mut last = None;
    for number in numbers {
        let entry = TokenEntry {
            requester: "client:c1".to_owned(),
            subject: format!("person-{number}"),
            audience: "historian".to_owned(),
            expires_at: NOW + 900,
            kid: "x7Qd1234".to_owned(),
            profile: "access".to_owned(),
            signing_input_sha256: base64url(farside_service::digest::sha256(&number.to_le_bytes())),
            assertion: None,
        };
        last = Some(log.reserve(shard, NOW).unwrap().commit(entry).unwrap());
    }
    last.unwrap().wait().unwrap();
}
