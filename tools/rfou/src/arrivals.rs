// SPDX-License-Identifier: GPL-2.0

//! Waits for new interfaces and local addresses, by rtnetlink's notifications.

use crate::{
    error::{Error, Result},
    netlink::{Message, Socket, NETLINK_ROUTE},
};
use rustix::event::{poll, PollFd, PollFlags, Timespec};
use std::{io, thread, time::Duration};

const RTM_NEWLINK: u16 = 16;
const RTM_NEWADDR: u16 = 20;
const RTM_NEWROUTE: u16 = 24;
const RTN_LOCAL: u8 = 2;
/// `rtm_type` in `struct rtmsg`.
const ROUTE_TYPE: usize = 7;
const ENOBUFS: i32 = 105;

/// The kernel announces an IPv4 address before sockets can bind to it, and the address's route in the table `local`
/// after that. It announces an IPv6 address after duplicate address detection.
const RTNLGRP_LINK: u32 = 1;
const RTNLGRP_IPV4_ROUTE: u32 = 7;
const RTNLGRP_IPV6_IFADDR: u32 = 9;

/// The time in which arrivals count as one. Programs that configure a network cause bursts of them.
const BURST: Duration = Duration::from_millis(100);

/// A subscription to arrivals.
pub struct Arrivals {
    socket: Socket,
}

impl Arrivals {
    pub fn subscribe() -> Result<Self> {
        let subscribe = || {
            let socket = Socket::open(NETLINK_ROUTE)?;
            for group in [RTNLGRP_LINK, RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_IFADDR] {
                socket.join(group)?;
            }
            Ok(socket)
        };
        let socket = subscribe().map_err(|error| failed(&error))?;
        Ok(Self { socket })
    }

    /// Waits for the next arrival. The caller's last look at the system may have shown this arrival already.
    pub fn wait(&mut self) -> Result {
        while !self.receive()? {}
        thread::sleep(BURST);
        // Stop at some number: a routing daemon may change routes faster than this program reads them.
        for _ in 0..1000 {
            if !self.is_readable()? {
                break;
            }
            self.receive()?;
        }
        Ok(())
    }

    /// Waits for notifications; `true` if one is an arrival.
    fn receive(&mut self) -> Result<bool> {
        match self.socket.receive() {
            Ok(messages) => Ok(messages.iter().any(is_arrival)),
            Err(error) if error.raw_os_error() == Some(ENOBUFS) => Ok(true),
            Err(error) => Err(failed(&error)),
        }
    }

    fn is_readable(&self) -> Result<bool> {
        let now = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        match poll(&mut [PollFd::new(&self.socket, PollFlags::IN)], Some(&now)) {
            Err(rustix::io::Errno::INTR) => Ok(false),
            ready => Ok(ready.map_err(|error| failed(&error.into()))? > 0),
        }
    }
}

fn failed(error: &io::Error) -> Error {
    Error::io("waiting for interfaces and addresses", error)
}

fn is_arrival(message: &Message) -> bool {
    match message.kind {
        RTM_NEWLINK | RTM_NEWADDR => true,
        RTM_NEWROUTE => message.payload.get(ROUTE_TYPE) == Some(&RTN_LOCAL),
        _ => false,
    }
}
