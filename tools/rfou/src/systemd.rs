// SPDX-License-Identifier: GPL-2.0

//! Messages to systemd about this process: sd_notify(3).

use std::{
    env, io,
    os::{
        linux::net::SocketAddrExt,
        unix::{ffi::OsStrExt, net::SocketAddr, net::UnixDatagram},
    },
};

/// Sends a state, such as `READY=1`. Does nothing if systemd did not ask for states.
pub fn notify(state: &str) -> io::Result<()> {
    let Some(path) = env::var_os("NOTIFY_SOCKET") else {
        return Ok(());
    };
    let address = match path.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name),
        _ => SocketAddr::from_pathname(&path),
    };
    let socket = UnixDatagram::unbound()?;
    socket.send_to_addr(state.as_bytes(), &address?).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process;

    #[test]
    fn a_state_reaches_sockets_of_both_kinds() {
        let name = format!("rfou-notify-{}", process::id());
        let path = env::temp_dir().join(&name);
        let abstract_address = SocketAddr::from_abstract_name(&name).unwrap();
        let sockets = [
            (UnixDatagram::bind(&path), path.display().to_string()),
            (
                UnixDatagram::bind_addr(&abstract_address),
                format!("@{name}"),
            ),
        ];
        // The only test that reads or sets this variable.
        for (socket, value) in sockets {
            env::set_var("NOTIFY_SOCKET", value);
            notify("READY=1").unwrap();
            let mut buffer = [0; 16];
            let length = socket.unwrap().recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..length], b"READY=1");
        }
        std::fs::remove_file(path).unwrap();
        env::remove_var("NOTIFY_SOCKET");
        notify("READY=1").unwrap();
    }
}
