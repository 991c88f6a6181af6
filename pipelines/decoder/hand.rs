//! Open files handed to another process over a socket.

use std::{
    io::{self, IoSlice},
    os::fd::{AsRawFd as _, BorrowedFd},
};

use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use tokio::{io::Interest, net::UnixStream};

/// Writes `line` to a socket, and an open file with its first byte: who reads that byte with `recvmsg` gets the file.
pub async fn hand(socket: &UnixStream, line: &[u8], file: BorrowedFd<'_>) -> io::Result<()> {
    let files = [file.as_raw_fd()];
    let first = socket
        .async_io(Interest::WRITABLE, || {
            let (parts, control) = ([IoSlice::new(line)], [ControlMessage::ScmRights(&files)]);
            let flags = MsgFlags::MSG_NOSIGNAL;
            let sent = sendmsg::<()>(socket.as_raw_fd(), &parts, &control, flags, None);
            sent.map_err(io::Error::from)
        })
        .await?;
    let mut rest = &line[first..];
    while !rest.is_empty() {
        socket.writable().await?;
        match socket.try_write(rest) {
            Ok(written) => rest = &rest[written..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
