// SPDX-License-Identifier: GPL-2.0

//! A device of kind `gue`.

use crate::{
    config::Config,
    control::{self, Control, Place},
    demux::Entry,
    guard::Guard,
    keys::KeyRing,
    reassembly::{Fragments, Reassembler},
    socket::Listener,
    transmit::{self, Sender},
};
use kernel::{prelude::*, sync::Arc};
use net::{
    metadata::EgressPacket,
    netdev::{Device, DeviceSkb, LinkType, NewDevice, Operations, Sent, Xmit},
    rtnl::{RcuReader, Rtnl, RtnlCell, RtnlValue},
    time::monotonic_ns,
    Netns,
};

/// The state of a device.
pub(crate) struct Gue {
    sender: RtnlCell<Sender>,
    listener: Listener,
    /// `None` if the device has no method of security.
    keys: Option<Arc<KeyRing>>,
    control: Arc<Control>,
    fragments: Fragments,
}

/// The configuration and the listener that a device is made of.
pub(crate) struct NewGue {
    pub(crate) config: Config,
    pub(crate) listener: Listener,
    pub(crate) fragments: Fragments,
}

/// The configurations by which a device sends data and control messages.
type Sends = (RtnlValue<Sender>, RtnlValue<Config>);

impl Gue {
    /// Returns the sender of data packets, with the configuration in force.
    #[inline]
    pub(crate) fn sender<'a>(&'a self, reader: RcuReader<'a>) -> &'a Sender {
        self.sender.read(reader)
    }

    /// Returns the configuration in force.
    pub(crate) fn config<'a>(&'a self, rtnl: &'a Rtnl) -> &'a Config {
        &self.sender.read_rtnl(rtnl).configured
    }

    /// Returns the device's keys; `None` if the device has no method of security.
    pub(crate) fn keys(&self) -> Option<&KeyRing> {
        self.keys.as_deref()
    }

    /// Returns the state of the device's control messages.
    pub(crate) fn control(&self) -> &Control {
        &self.control
    }

    /// Changes the configuration. Packets are sent with the old one or the new one as a whole. May sleep.
    pub(crate) fn change(&self, dev: &Device<Self>, new: Config, rtnl: &mut Rtnl) -> Result {
        let old = *self.config(rtnl);
        // A peer that has moved stays at its new place, unless the user turns roaming off or changes dport.
        let stays = new.liveness.roaming && new.destination_port == old.destination_port;
        let moved_to = self.sender.read_rtnl(rtnl).moved_to;
        let sends = self.prepare(dev, new, moved_to.filter(|_| stays))?;
        if new.liveness.roaming != old.liveness.roaming {
            self.listener
                .change_packets(new.liveness.roaming, || entry(dev, &new))?;
        } else if new.accepts_zero_checksum6 != old.accepts_zero_checksum6
            || new.protection.demands() != old.protection.demands()
        {
            self.listener.change(|| entry(dev, &new))?;
        }
        self.install(sends, rtnl);
        let was_dead = new.liveness.keepalive == 0 && self.control.peer.end_watch();
        let goes_back = moved_to.is_some() && !stays;
        if was_dead || goes_back {
            dev.set_carrier(self.control.config().peer().is_some(), rtnl);
        }
        // The device has not asked the configured place yet, so the peer is not dead there.
        if goes_back || (new.liveness.keepalive != 0 && old.liveness.keepalive == 0) {
            self.watch_from_now(dev);
        }
        if goes_back || new.liveness != old.liveness {
            dev.run_work_now();
        }
        Ok(())
    }

    /// Moves the peer to another place. Each packet is sent to the old place or to the new one. May sleep. Fails with
    /// `ENOMEM`, or with `EINVAL` if the peer may not move any more.
    pub(crate) fn move_peer(&self, dev: &Device<Self>, to: Place, rtnl: &mut Rtnl) -> Result {
        let configured = *self.config(rtnl);
        if !configured.liveness.roaming {
            return Err(EINVAL);
        }
        let is_first = self.control.config().peer().is_none();
        let sends = self.prepare(dev, configured, Some(to))?;
        self.install(sends, rtnl);
        if is_first {
            self.watch_from_now(dev);
            dev.set_carrier(true, rtnl);
        }
        Ok(())
    }

    /// Allocates all memory that a change needs, so that a change that fails has no effect. May sleep.
    fn prepare(&self, dev: &Device<Self>, new: Config, moved_to: Option<Place>) -> Result<Sends> {
        let sender = Sender::new(new, moved_to, self.keys.clone(), dev.link_net())?;
        let config = RtnlValue::new(sender.config)?;
        Ok((RtnlValue::new(sender)?, config))
    }

    fn install(&self, (sender, config): Sends, rtnl: &mut Rtnl) {
        self.sender.replace(sender, rtnl);
        self.control.set_config(config, rtnl);
    }

    /// Begins to watch the peer.
    fn watch_from_now(&self, dev: &Device<Self>) {
        let received = dev.received_packets();
        self.control.peer.begin(received, monotonic_ns());
    }
}

/// Returns the part of a device that receive reads.
fn entry(dev: &Device<Gue>, config: &Config) -> Entry {
    Entry {
        rx: dev.rx(),
        accepts_zero_checksum6: config.accepts_zero_checksum6,
        carries_frames: config.mode == LinkType::Ethernet,
        guard: Guard::new(config.protection.demands(), dev.data().keys.clone()),
        control: dev.data().control.clone(),
        reassembler: Reassembler::new(&dev.data().fragments),
    }
}

impl Operations for Gue {
    const DRIVER: &'static CStr = c"gue";
    type Config = NewGue;

    fn link_type(new: &NewGue) -> LinkType {
        new.config.mode
    }

    fn new(
        NewGue {
            config,
            listener,
            fragments,
        }: NewGue,
        dev: NewDevice<'_>,
        link_net: &Netns,
        rtnl: &mut Rtnl,
    ) -> impl PinInit<Self, Error> {
        dev.set_carrier(!config.remote_is_any(), rtnl);
        try_init!(Self {
            keys: match config.protection.auth {
                Some(_) => Some(KeyRing::new()?),
                None => None,
            },
            sender: RtnlCell::new(Sender::new(config, None, keys.clone(), link_net)?)?,
            control: Control::new(config, keys.clone())?,
            listener,
            fragments,
        }? Error)
    }

    fn uninit(&self, _rtnl: &mut Rtnl) {
        self.listener.release();
    }

    fn open(dev: &Device<Self>, rtnl: &mut Rtnl) -> Result {
        let gue = dev.data();
        gue.watch_from_now(dev);
        let config = gue.config(rtnl);
        let has_keepalive = config.liveness.keepalive != 0;
        let netns = dev.link_net();
        gue.listener
            .open(netns, config.vrf(netns), entry(dev, config))?;
        if gue.control.config().peer().is_some() {
            // Even if the peer was dead when the device went down.
            dev.set_carrier(true, rtnl);
        }
        if has_keepalive {
            dev.run_work_now();
        }
        Ok(())
    }

    fn work(dev: &Device<Self>) {
        control::work(dev);
    }

    fn stop(dev: &Device<Self>, _rtnl: &mut Rtnl) {
        dev.data().listener.close();
    }

    #[inline]
    fn transmit(xmit: &Xmit<'_, Self>, skb: DeviceSkb) -> Sent {
        transmit::transmit(xmit, skb)
    }

    fn fill_metadata(dev: &Device<Self>, packet: &mut EgressPacket<'_>) -> Result {
        transmit::fill_metadata(dev, packet)
    }

    fn iflink(&self) -> u32 {
        RcuReader::with(|reader| self.sender(reader).config.link)
    }
}
