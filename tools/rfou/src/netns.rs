// SPDX-License-Identifier: GPL-2.0

//! The network namespace that the command works in, and the names of its interfaces.

use crate::error::{Error, Kind, Result};
use rustix::{
    net::{netdevice, socket, AddressFamily, SocketType},
    thread::{move_into_link_name_space, LinkNameSpaceType},
};
use std::{fs::File, os::fd::AsFd};

/// Moves this thread into the namespace that `ip netns` calls `name`. Called while the process has
/// one thread.
pub fn enter(name: &str) -> Result {
    let at_fault = |error: Error| error.argument("--netns");
    if name.is_empty() || name.contains('/') {
        return Err(at_fault(Error::usage(format!(
            "'{name}' is not a name of a network namespace"
        ))));
    }
    let path = format!("/run/netns/{name}");
    let file = File::open(&path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => at_fault(
            Error::new(
                Kind::NotFound,
                format!("network namespace '{name}' does not exist"),
            )
            .hint("'ip netns list' shows those that exist"),
        ),
        _ => at_fault(Error::io(&path, &error)),
    })?;
    move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).map_err(|error| {
        at_fault(Error::io(
            format!("network namespace '{name}'"),
            &error.into(),
        ))
    })
}

/// Returns the interface's name, or `if` and its index.
pub fn interface_name(index: u32) -> String {
    let name = socket(AddressFamily::INET, SocketType::DGRAM, None)
        .and_then(|fd| netdevice::index_to_name(fd, index));
    name.unwrap_or_else(|_| format!("if{index}"))
}

/// Returns the index of the interface.
pub fn interface_index(name: &str) -> Result<u32> {
    let index = socket(AddressFamily::INET, SocketType::DGRAM, None)
        .and_then(|fd| netdevice::name_to_index(fd, name));
    index.map_err(|_| {
        Error::new(Kind::NotFound, format!("interface '{name}' does not exist"))
            .hint("'ip link' shows those that exist")
    })
}
