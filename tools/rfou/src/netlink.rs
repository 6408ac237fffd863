// SPDX-License-Identifier: GPL-2.0

//! A netlink socket: requests, dumps, refusals with their text, and notifications.

use netlink_packet_core::{
    NetlinkBuffer, NlaBuffer, NlasIterator, NLA_F_NESTED, NLM_F_ACK, NLM_F_ACK_TLVS, NLM_F_CAPPED,
    NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST,
};
use netlink_sys::{Socket as RawSocket, SocketAddr};
use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
};
use zeroize::Zeroizing;

pub const NETLINK_ROUTE: isize = 0;
pub const NETLINK_GENERIC: isize = 16;
const HEADER: usize = 16;
const ATTRIBUTE_HEADER: usize = 4;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLMSGERR_ATTR_MSG: u16 = 1;
const NLMSGERR_ATTR_OFFS: u16 = 2;
/// The kernel fills a dump's buffers up to the size that the reader offers.
const BUFFER: usize = 1 << 16;
/// The most tries of a dump that changes interrupt.
const TRIES: usize = 20;

/// The attributes of a message, as (number, value) pairs in order.
pub type Attributes<'a> = Vec<(u16, &'a [u8])>;

/// Splits bytes into attributes. Ignores a malformed attribute and all bytes after it.
pub fn attributes(bytes: &[u8]) -> Attributes<'_> {
    NlasIterator::new(bytes)
        .map_while(|at: Result<NlaBuffer<&[u8]>, _>| at.ok())
        .map(|at| {
            let (kind, length) = (at.kind(), usize::from(at.length()));
            (kind, &at.into_inner()[4..length])
        })
        .collect()
}

/// Builds attributes. Their bytes are wiped when they are no longer needed, because they may hold
/// a secret.
#[derive(Clone, Default)]
pub struct Builder(Zeroizing<Vec<u8>>);

impl Builder {
    pub fn put(self, kind: u16, value: impl AsRef<[u8]>) -> Self {
        let value = value.as_ref();
        let length = ATTRIBUTE_HEADER + value.len();
        // A vector that grows leaves its old bytes in memory.
        let size = self.0.len() + length.next_multiple_of(4);
        let mut bytes = Zeroizing::new(Vec::with_capacity(size));
        bytes.extend_from_slice(&self.0);
        bytes.extend_from_slice(&(length as u16).to_ne_bytes());
        bytes.extend_from_slice(&kind.to_ne_bytes());
        bytes.extend_from_slice(value);
        bytes.resize(size, 0);
        Self(bytes)
    }

    pub fn put_u8(self, kind: u16, value: u8) -> Self {
        self.put(kind, [value])
    }

    pub fn put_u16(self, kind: u16, value: u16) -> Self {
        self.put(kind, value.to_ne_bytes())
    }

    pub fn put_u32(self, kind: u16, value: u32) -> Self {
        self.put(kind, value.to_ne_bytes())
    }

    pub fn put_be16(self, kind: u16, value: u16) -> Self {
        self.put(kind, value.to_be_bytes())
    }

    pub fn put_string(self, kind: u16, value: &str) -> Self {
        self.put(kind, [value.as_bytes(), b"\0"].concat())
    }

    pub fn put_nest(self, kind: u16, nest: Builder) -> Self {
        self.put(kind | NLA_F_NESTED, nest.build())
    }

    pub fn build(self) -> Zeroizing<Vec<u8>> {
        self.0
    }
}

/// A request that the kernel refused.
#[derive(Clone, Debug)]
pub struct Refusal {
    pub errno: i32,
    /// The kernel's reason.
    pub text: Option<String>,
    /// The attribute at fault, after the nests that contain it, outermost first.
    pub path: Vec<u16>,
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Self {
            errno: error.raw_os_error().unwrap_or(5),
            text: None,
            path: Vec::new(),
        }
    }
}

/// A message as received, without its header.
#[derive(Debug)]
pub struct Message {
    pub kind: u16,
    pub payload: Vec<u8>,
}

/// A netlink socket that talks to the kernel.
pub struct Socket {
    socket: RawSocket,
    sequence: u32,
    /// The length of the family's header, which comes before the attributes of a request.
    family_header: usize,
    /// Notifications that came while the answer to a request was awaited.
    unasked: Vec<Message>,
}

impl Socket {
    /// Opens a socket for rtnetlink's links (`NETLINK_ROUTE`) or generic netlink.
    pub fn open(protocol: isize) -> io::Result<Self> {
        let mut socket = RawSocket::new(protocol)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        socket.set_ext_ack(true)?;
        // Otherwise a refusal would contain the request, which may hold a secret.
        socket.set_cap_ack(true)?;
        // Old kernels lack strict checks; then they ignore unknown filters.
        let _ = socket.set_netlink_get_strict_chk(true);
        Ok(Self {
            socket,
            sequence: 0,
            family_header: if protocol == NETLINK_ROUTE { 16 } else { 4 },
            unasked: Vec::new(),
        })
    }

    /// Subscribes to a multicast group.
    pub fn join(&self, group: u32) -> io::Result<()> {
        // Room for a burst of notifications.
        let _ = self.socket.set_rx_buf_sz(1 << 20);
        self.socket.add_membership(group)
    }

    /// Sends a request; returns the payloads of the answers.
    pub fn call(&mut self, kind: u16, flags: u16, body: &[u8]) -> Result<Vec<Vec<u8>>, Refusal> {
        let request = self.send(kind, flags | NLM_F_ACK, body)?;
        Ok(self.answers(&request)?.0)
    }

    /// Sends a dump request; returns the payloads of the answers. Repeats a dump during which
    /// something changed.
    pub fn dump(&mut self, kind: u16, body: &[u8]) -> Result<Vec<Vec<u8>>, Refusal> {
        for _ in 1..TRIES {
            let request = self.send(kind, NLM_F_DUMP, body)?;
            let (answers, interrupted) = self.answers(&request)?;
            if !interrupted {
                return Ok(answers);
            }
        }
        let request = self.send(kind, NLM_F_DUMP, body)?;
        Ok(self.answers(&request)?.0)
    }

    /// Waits for notifications. Fails with `ENOBUFS` if some were lost.
    pub fn receive(&mut self) -> io::Result<Vec<Message>> {
        if !self.unasked.is_empty() {
            return Ok(std::mem::take(&mut self.unasked));
        }
        Ok(self
            .read()?
            .into_iter()
            .map(|(message, ..)| message)
            .collect())
    }

    /// Returns `true` if [`Self::receive`] returns messages that were read before, without waiting.
    pub fn has_messages(&self) -> bool {
        !self.unasked.is_empty()
    }

    fn send(&mut self, kind: u16, flags: u16, body: &[u8]) -> io::Result<Zeroizing<Vec<u8>>> {
        self.sequence += 1;
        let mut request = Zeroizing::new([&[0; HEADER], body].concat());
        let length = request.len() as u32;
        let mut header = NetlinkBuffer::new(&mut request[..]);
        header.set_length(length);
        header.set_message_type(kind);
        header.set_flags(flags | NLM_F_REQUEST);
        header.set_sequence_number(self.sequence);
        self.socket.send(&request, 0)?;
        Ok(request)
    }

    fn answers(&mut self, request: &[u8]) -> Result<(Vec<Vec<u8>>, bool), Refusal> {
        let mut answers = Vec::new();
        let mut interrupted = false;
        loop {
            for (message, flags, sequence) in self.read()? {
                if sequence == 0 {
                    self.unasked.push(message);
                    continue;
                }
                if sequence != self.sequence {
                    continue;
                }
                interrupted |= flags & NLM_F_DUMP_INTR != 0;
                match message.kind {
                    NLMSG_ERROR | NLMSG_DONE => {
                        return match self.refusal(&message, flags, request) {
                            Some(refusal) => Err(refusal),
                            None => Ok((answers, interrupted)),
                        };
                    }
                    _ => answers.push(message.payload),
                }
            }
        }
    }

    /// Reads one buffer: messages with their flags and sequence numbers.
    fn read(&self) -> io::Result<Vec<(Message, u16, u32)>> {
        let mut buffer = Vec::with_capacity(BUFFER);
        while let Err(error) = self.socket.recv(&mut buffer, 0) {
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(error);
            }
        }
        let mut rest = &buffer[..];
        let mut messages = Vec::new();
        while let Ok(header) = NetlinkBuffer::new_checked(rest) {
            messages.push((
                Message {
                    kind: header.message_type(),
                    payload: header.payload().to_vec(),
                },
                header.flags(),
                header.sequence_number(),
            ));
            let length = (header.length() as usize + 3) & !3;
            rest = rest.get(length..).unwrap_or(&[]);
        }
        Ok(messages)
    }

    /// Reads an error or the end of a dump; `None` is success.
    fn refusal(&self, message: &Message, flags: u16, request: &[u8]) -> Option<Refusal> {
        let payload = &message.payload;
        let errno = -i32::from_ne_bytes(payload.get(..4)?.try_into().ok()?);
        if errno == 0 || message.kind == NLMSG_DONE && errno < 0 {
            return None;
        }
        let mut refusal = Refusal {
            errno,
            text: None,
            path: Vec::new(),
        };
        if flags & NLM_F_ACK_TLVS == 0 {
            return Some(refusal);
        }
        let mut start = 4;
        if message.kind == NLMSG_ERROR {
            start += match flags & NLM_F_CAPPED {
                0 => (request.len() + 3) & !3,
                _ => HEADER,
            };
        }
        for (kind, value) in attributes(payload.get(start..).unwrap_or(&[])) {
            match kind {
                NLMSGERR_ATTR_MSG => refusal.text = Some(string(value)),
                NLMSGERR_ATTR_OFFS => {
                    if let Ok(bytes) = value.try_into() {
                        refusal.path = path_to(
                            request,
                            HEADER + self.family_header,
                            u32::from_ne_bytes(bytes) as usize,
                        );
                    }
                }
                _ => (),
            }
        }
        Some(refusal)
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Returns the numbers of the attributes around `offset` in a request, outermost first.
///
/// The attributes begin at `start`. Only nests with their flag set are entered.
fn path_to(request: &[u8], mut start: usize, offset: usize) -> Vec<u16> {
    let mut end = request.len();
    let mut path = Vec::new();
    while start + 4 <= end && start <= offset {
        let Ok(at) = NlaBuffer::new_checked(&request[start..end]) else {
            break;
        };
        let next = start + ((at.length() as usize + 3) & !3);
        if offset >= next {
            start = next;
            continue;
        }
        path.push(at.kind());
        if offset == start || !at.nested_flag() {
            break;
        }
        end = start + at.length() as usize;
        start += 4;
    }
    path
}

/// Reads a string attribute, which may or may not end with a zero byte.
pub fn string(value: &[u8]) -> String {
    let end = value.iter().position(|&byte| byte == 0);
    String::from_utf8_lossy(&value[..end.unwrap_or(value.len())]).into_owned()
}

/// Reads an unsigned number of 8, 16, 32 or 64 bits in the machine's byte order.
pub fn number(value: &[u8]) -> Option<u64> {
    Some(match *value {
        [byte] => byte.into(),
        [a, b] => u16::from_ne_bytes([a, b]).into(),
        [a, b, c, d] => u32::from_ne_bytes([a, b, c, d]).into(),
        _ => u64::from_ne_bytes(value.try_into().ok()?),
    })
}

/// Reads a 16-bit number in network byte order.
pub fn be16(value: &[u8]) -> Option<u16> {
    Some(u16::from_be_bytes(value.try_into().ok()?))
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// Returns the names of the attributes of a set in a spec, in their order.
    pub fn names_in_spec<'a>(spec: &'a str, set: &str) -> Vec<&'a str> {
        let (_, rest) = spec.split_once(&format!("    name: {set}\n")).unwrap();
        // The next set is indented less.
        let set = rest.split("\n  -\n").next().unwrap();
        let names = set.split("\n      -\n        name: ").skip(1);
        names.map(|name| name.lines().next().unwrap()).collect()
    }

    #[test]
    fn attributes_are_read_as_they_were_built() {
        let bytes = Builder::default()
            .put_u8(2, 10)
            .put_be16(1, 5555)
            .put_nest(5, Builder::default().put_string(1, "gue"))
            .build();
        let read = attributes(&bytes);
        assert_eq!(read[0], (2, &[10][..]));
        assert_eq!(be16(read[1].1), Some(5555));
        assert_eq!(string(attributes(read[2].1)[0].1), "gue");
    }

    #[test]
    fn malformed_attributes_end_the_list() {
        assert_eq!(attributes(&[3, 0, 1, 0]), []);
        assert_eq!(attributes(&[9, 0, 1, 0, 1]), []);
        assert_eq!(attributes(&[5, 0, 1, 0, 7, 0, 0, 0, 2]), [(1, &[7][..])]);
    }

    #[test]
    fn a_path_goes_through_nests() {
        let inner = Builder::default().put_u8(14, 1).put_u8(16, 3);
        let info = Builder::default()
            .put_string(1, "gue")
            .put_nest(2, inner.clone());
        let body = Builder::default().put_string(3, "gue0").put_nest(18, info);
        let mut request = vec![0; 32];
        request.extend_from_slice(&body.build());
        let at = request.len() - 8;
        assert_eq!(path_to(&request, 32, at), [18, 2, 16]);
        assert_eq!(path_to(&request, 32, 32), [3]);
    }
}
