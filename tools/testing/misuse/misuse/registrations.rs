// SPDX-License-Identifier: GPL-2.0

//! Registrations that are made twice, too late, or by a module whose `init` fails.

use crate::{
    devices,
    sockets::{open, Sink},
};
use core::{
    pin::Pin,
    sync::atomic::{AtomicBool, Ordering},
};
use kernel::{
    new_mutex,
    prelude::*,
    sync::{Mutex, SetOnce},
    time::{delay::fsleep, Delta},
};
use net::{
    frags::{self, Directory, Lost, Queues, QueuesRef, Reassembly},
    icmp::QuotedPacket,
    ip6_tunnel,
    ip_proto::InnerProtocol,
    ip_tunnel::{self, EncapConfig, Flow, IpTunnelEncap},
    module::Scope,
    netlink::{self, Doit, DumpSkBuff, Dumpit, GenlInfo, NlaPolicy, Op, Operations},
    netns::{self, PerNetns, Place, Slot, SlotRef},
    skb::TxSkb,
    udp_tunnel::UdpTunnelSocket,
    DropReason,
};

/// The port that the family's command opens.
const PORT: u16 = 7005;

/// A netlink family whose state has sockets, and memory that a dump reads.
struct Commands {
    sockets: Pin<KBox<Mutex<KVec<UdpTunnelSocket<Sink>>>>>,
    numbers: KVec<u32>,
}

impl Commands {
    fn new() -> Result<Self> {
        let mut numbers = KVec::new();
        // More entries than one message holds.
        for number in 0..4096 {
            numbers.push(number, GFP_KERNEL)?;
        }
        Ok(Self {
            sockets: KBox::pin_init(new_mutex!(KVec::new()), GFP_KERNEL)?,
            numbers,
        })
    }
}

impl Operations for Commands {
    const NAME: &'static CStr = c"misuse";
    const VERSION: u8 = 1;
    const POLICY: &'static [NlaPolicy] = &[NlaPolicy::UNSPEC, NlaPolicy::U32];
    const OPS: &'static [Op<Self>] = &[Op::new::<Open>(1).dumpit::<List>()];
}

/// Opens a port, which the family's state keeps.
struct Open;

impl Doit<Commands> for Open {
    fn doit(family: &Commands, info: &GenlInfo) -> Result {
        let socket = open(info.netns(), PORT)?;
        let tunnel = UdpTunnelSocket::new(socket, Sink::new()?)?;
        family.sockets.lock().push(tunnel, GFP_KERNEL)?;
        Ok(())
    }
}

/// Lists the numbers.
struct List;

static DUMP_HAS_BEGUN: AtomicBool = AtomicBool::new(false);

impl Dumpit<Commands> for List {
    fn dumpit(family: &Commands, cursor: &mut u64, skb: &mut DumpSkBuff<'_>) -> Result {
        let next = usize::try_from(*cursor).map_err(|_| EINVAL)?;
        for number in family.numbers.iter().skip(next) {
            let mut message = skb.genlmsg_iput()?;
            message.put_u32(1, *number)?;
            message.end();
            *cursor = cursor.saturating_add(1);
            DUMP_HAS_BEGUN.store(true, Ordering::Relaxed);
        }
        Ok(())
    }
}

/// Zero-sized state of a namespace, with a destructor.
struct Empty;

static EMPTY: Slot<Empty> = Slot::new();

impl PerNetns for Empty {
    const SLOT: SlotRef<Self> = SlotRef::new(&EMPTY);

    fn new(_place: Place<'_>) -> impl PinInit<Self, Error> {
        Ok::<_, Error>(Self)
    }
}

impl Drop for Empty {
    fn drop(&mut self) {
        pr_debug!("empty\n");
    }
}

/// An encapsulation that always finds a header of no length, and UDP after it.
struct Nested;

impl<F: Flow> IpTunnelEncap<F> for Nested {
    /// The last index of the kernel's table of encapsulations.
    const TYPE: u32 = 7;

    fn header_len_bytes(_config: &EncapConfig) -> usize {
        0
    }

    fn build_header(
        _skb: Pin<&mut TxSkb>,
        _config: &EncapConfig,
        protocol: u8,
        _flow: &F,
    ) -> Result<u8> {
        Ok(protocol)
    }

    fn find_inner(_quoted: &mut QuotedPacket<'_>) -> Result<(usize, InnerProtocol)> {
        Ok((0, InnerProtocol::new(17).ok_or(EINVAL)?))
    }
}

/// Queues of pieces.
enum Queue {}

static QUEUES: Queues<Queue> = Queues::new();
static DIRECTORY: Slot<Directory<Queue>> = Slot::new();

impl Reassembly for Queue {
    const QUEUES: QueuesRef<Self> = QueuesRef::new(&QUEUES);
    const SLOT: SlotRef<Directory<Self>> = SlotRef::new(&DIRECTORY);
    const NAME: &'static CStr = c"misuse-frags";
    const SYSCTL_FOLDER: &'static CStr = c"net/misuse";

    fn reason(_lost: Lost) -> DropReason {
        DropReason::NOT_SPECIFIED
    }
}

/// Registers queues. Checks first that directories cannot be registered without them.
fn register_queues(scope: &'static Scope) -> Result {
    match netns::register::<Directory<Queue>>(scope) {
        Err(EINVAL | EBUSY) => frags::register::<Queue>(scope).map(|_| ()),
        _ => Err(EXFULL),
    }
}

type Step = fn(&'static Scope) -> Result;

/// Everything that can be registered, and the error of a second registration.
const STEPS: &[(Step, Error)] = &[
    (|scope| netns::register::<Empty>(scope).map(|_| ()), EBUSY),
    (|scope| netlink::register(scope, Commands::new()?), EEXIST),
    (ip_tunnel::register::<Nested>, EEXIST),
    (ip6_tunnel::register::<Nested>, EEXIST),
    (register_queues, EBUSY),
    (devices::register_kind, EEXIST),
];

/// Runs the first `count` steps, then fails with `ECANCELED`; with another error if no step is left.
pub(crate) fn fail_after(scope: &'static Scope, count: u32) -> Result {
    for (done, (step, _)) in (0..).zip(STEPS) {
        if done == count {
            return Err(ECANCELED);
        }
        step(scope)?;
    }
    Err(EXFULL)
}

pub(crate) fn register_all_twice(scope: &'static Scope) -> Result {
    for (step, _) in STEPS {
        step(scope)?;
    }
    for (step, expected) in STEPS {
        match step(scope) {
            Err(error) if error == *expected => {}
            _ => return Err(EXFULL),
        }
    }
    Ok(())
}

pub(crate) fn register_the_family_alone(scope: &'static Scope) -> Result {
    netlink::register(scope, Commands::new()?)
}

/// Fails as soon as a dump of the family has begun.
pub(crate) fn fail_during_a_dump(scope: &'static Scope) -> Result {
    netlink::register(scope, Commands::new()?)?;
    for _ in 0..1000 {
        if DUMP_HAS_BEGUN.load(Ordering::Relaxed) {
            return Err(ECANCELED);
        }
        fsleep(Delta::from_millis(10));
    }
    Err(ETIMEDOUT)
}

/// State that registers a family when it is made for a namespace that is younger than the module.
struct Late;

static LATE: Slot<Late> = Slot::new();
static SCOPE: SetOnce<&'static Scope> = SetOnce::new();

impl PerNetns for Late {
    const SLOT: SlotRef<Self> = SlotRef::new(&LATE);

    fn new(_place: Place<'_>) -> impl PinInit<Self, Error> {
        if let Some(scope) = SCOPE.copy() {
            match Commands::new().and_then(|commands| netlink::register(scope, commands)) {
                Ok(()) => pr_info!("registered late\n"),
                Err(error) => pr_info!("not registered late: {error:?}\n"),
            }
        }
        Ok::<_, Error>(Self)
    }
}

pub(crate) fn register_late(scope: &'static Scope) -> Result {
    netns::register::<Late>(scope)?;
    SCOPE.populate(scope);
    Ok(())
}
