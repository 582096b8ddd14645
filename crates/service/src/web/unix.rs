//! A Unix socket for the machine's own user: made in a folder nobody else can enter, given mode 0600, and
//! only then moved to its name, so that at no moment another user can connect.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixStream};

use super::{WebFault, socket_failed};
use crate::durable::{self, Mode};
use crate::{digest, random};

/// The socket's name in the file system, removed when dropped.
#[derive(Debug)]
pub(super) struct SocketFile(PathBuf);

impl SocketFile {
    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // A name left behind is recognised at the next start: nobody answers there.
        let _ = fs::remove_file(&self.0);
    }
}

pub(super) async fn bind(path: &Path) -> Result<(UnixListener, SocketFile), WebFault> {
    if UnixStream::connect(path).await.is_ok() {
        return Err(WebFault::Served(path.to_owned()));
    }
    let refused = |source| socket_failed("listen on", path, source);
    let dice = random::bytes::<4>().map_err(|fault| refused(io::Error::other(fault)))?;
    let private = durable::parent(path).join(format!(".{}", digest::hex(&dice)));
    durable::create_dir_all(&private, Mode::Private)?;
    let made = bind_within(&private, path);
    let tidied = fs::remove_dir(&private);
    let listener = made.map_err(refused)?;
    tidied.map_err(refused)?;
    Ok((listener, SocketFile(path.to_owned())))
}

fn bind_within(private: &Path, path: &Path) -> io::Result<UnixListener> {
    let temporary = private.join("s");
    let listener = UnixListener::bind(&temporary)?;
    fs::set_permissions(&temporary, fs::Permissions::from_mode(0o600))?;
    fs::rename(&temporary, path)?;
    Ok(listener)
}
