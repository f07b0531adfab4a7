//! The supervisor's socket. A socket's path may have 107 bytes only; state directories are often
//! deeper. So the folder is opened, and the socket reached through its descriptor.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::path::PathBuf;

use tokio::net::{UnixListener, UnixStream};

use crate::directory::{SOCKET, StateDirectory};
use crate::files::remove_if_there;

pub(super) async fn connect(directory: &StateDirectory) -> io::Result<UnixStream> {
    let folder = File::open(directory.path())?;
    UnixStream::connect(short_path(&folder)).await
}

/// Listens; a socket that a killed supervisor left is removed. Only to be called under the
/// supervisor's lock.
pub(super) fn listen(directory: &StateDirectory) -> io::Result<UnixListener> {
    remove_if_there(&directory.socket())?;
    let folder = File::open(directory.path())?;
    UnixListener::bind(short_path(&folder))
}

fn short_path(folder: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd())).join(SOCKET)
}
