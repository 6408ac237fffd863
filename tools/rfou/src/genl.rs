// SPDX-License-Identifier: GPL-2.0

//! Generic netlink: families by name.

use crate::netlink::{attributes, number, string, Builder, Refusal, Socket, NETLINK_GENERIC};
use zeroize::Zeroizing;

const GENL_ID_CTRL: u16 = 16;
const CTRL_CMD_GETFAMILY: u8 = 3;
const CTRL_ATTR_FAMILY_ID: u16 = 1;
const CTRL_ATTR_FAMILY_NAME: u16 = 2;
const CTRL_ATTR_MCAST_GROUPS: u16 = 7;
const CTRL_ATTR_MCAST_GRP_NAME: u16 = 1;
const CTRL_ATTR_MCAST_GRP_ID: u16 = 2;

/// A family of generic netlink, with a socket to it.
pub struct Family {
    pub socket: Socket,
    id: u16,
    groups: Vec<(String, u32)>,
    /// Messages that came with the answers to a request, but are no answers.
    unasked: Vec<(u8, Vec<u8>)>,
}

impl Family {
    /// Looks up a family. The kernel may load a module for it.
    pub fn open(name: &str) -> Result<Self, Refusal> {
        let mut socket = Socket::open(NETLINK_GENERIC)?;
        let asked = Builder::default().put_string(CTRL_ATTR_FAMILY_NAME, name);
        let answers = socket.call(GENL_ID_CTRL, 0, &message(CTRL_CMD_GETFAMILY, asked))?;
        let answer = answers.first().map_or(&[][..], Vec::as_slice);
        let mut id = 0;
        let mut groups = Vec::new();
        for (kind, value) in attributes(payload(answer)) {
            match kind {
                CTRL_ATTR_FAMILY_ID => id = number(value).unwrap_or(0) as u16,
                CTRL_ATTR_MCAST_GROUPS => {
                    groups.extend(attributes(value).into_iter().filter_map(|at| group(at.1)));
                }
                _ => (),
            }
        }
        Ok(Self {
            socket,
            id,
            groups,
            unasked: Vec::new(),
        })
    }

    /// Sends a command. Returns the bytes of each answer's attributes.
    pub fn call(
        &mut self,
        command: u8,
        flags: u16,
        attributes: Builder,
    ) -> Result<Vec<Vec<u8>>, Refusal> {
        let answers = self
            .socket
            .call(self.id, flags, &message(command, attributes))?;
        let is_answer = |answer: &Vec<u8>| answer.first() == Some(&command);
        let (answers, others): (Vec<_>, Vec<_>) = answers.into_iter().partition(is_answer);
        self.unasked
            .extend(others.iter().filter_map(|other| split(other)));
        Ok(bodies(answers))
    }

    /// Sends a dump command. Returns the bytes of each answer's attributes.
    pub fn dump(&mut self, command: u8) -> Result<Vec<Vec<u8>>, Refusal> {
        let answers = self
            .socket
            .dump(self.id, &message(command, Builder::default()))?;
        Ok(bodies(answers))
    }

    /// Subscribes to a multicast group; `false` if the family has no such group.
    pub fn join(&self, name: &str) -> std::io::Result<bool> {
        match self.groups.iter().find(|group| group.0 == name) {
            Some(group) => self.socket.join(group.1).map(|()| true),
            None => Ok(false),
        }
    }

    /// Waits for notifications. Returns the command and the bytes of the attributes of each.
    pub fn receive(&mut self) -> std::io::Result<Vec<(u8, Vec<u8>)>> {
        let mut found = std::mem::take(&mut self.unasked);
        if !found.is_empty() && !self.socket.has_messages() {
            return Ok(found);
        }
        let messages = self.socket.receive()?;
        let ours = messages.iter().filter(|message| message.kind == self.id);
        found.extend(ours.filter_map(|message| split(&message.payload)));
        Ok(found)
    }

    /// Returns `true` if [`Self::receive`] would return at once.
    pub fn has_messages(&self) -> bool {
        !self.unasked.is_empty() || self.socket.has_messages()
    }
}

/// Splits a message into its command and the bytes of its attributes.
fn split(message: &[u8]) -> Option<(u8, Vec<u8>)> {
    Some((*message.first()?, message.get(4..)?.to_vec()))
}

fn group(bytes: &[u8]) -> Option<(String, u32)> {
    let fields = attributes(bytes);
    let find = |wanted| fields.iter().find(|at| at.0 == wanted).map(|at| at.1);
    Some((
        string(find(CTRL_ATTR_MCAST_GRP_NAME)?),
        number(find(CTRL_ATTR_MCAST_GRP_ID)?)? as u32,
    ))
}

/// Returns a message with `struct genlmsghdr`.
pub fn message(command: u8, attributes: Builder) -> Zeroizing<Vec<u8>> {
    Zeroizing::new([&[command, 1, 0, 0], &attributes.build()[..]].concat())
}

fn payload(message: &[u8]) -> &[u8] {
    message.get(4..).unwrap_or(&[])
}

fn bodies(messages: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    messages
        .iter()
        .map(|message| payload(message).to_vec())
        .collect()
}
