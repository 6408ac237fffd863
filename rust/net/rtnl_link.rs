// SPDX-License-Identifier: GPL-2.0

//! Kinds of links: `ip link add type KIND` makes a device of a kind, `ip link set type KIND` changes it.
//!
//! C header: [`include/net/rtnetlink.h`](srctree/include/net/rtnetlink.h), "rtnl_link_ops"

mod kind;

pub use kind::Kind;

use crate::{
    module::{Phase, Scope, Undo},
    netdev::{self, Device, Dimensions, LinkType, Links, Operations, Private},
    netlink::{self, NlAttr, NlaPolicy},
    netns::{self, Life},
    rtnl::Rtnl,
    Netns,
};
use core::{marker::PhantomData, ops::Deref, ptr::NonNull};
use kernel::{error::to_result, prelude::*, types::Opaque};
use net_bindings as bindings;

/// A kind of link, and the state that all of its devices share.
pub trait LinkKind: Send + Sync + Sized + 'static {
    /// The kind's name.
    const KIND: &'static CStr;
    /// The policy of each attribute in `IFLA_INFO_DATA`, by attribute number; number 0 is never used. Other
    /// attributes are refused.
    const POLICY: &'static [NlaPolicy];
    /// The state of a device.
    type Device: Operations;

    /// Reads the configuration and the sizes of a new device from a request. Process context under RTNL, may
    /// sleep.
    fn newlink(
        &self,
        request: &NewLink<'_>,
        rtnl: &mut Rtnl,
    ) -> Result<(<Self::Device as Operations>::Config, Dimensions)>;

    /// Changes a device. The sender may administer the device's namespaces. Process context under RTNL, may
    /// sleep.
    fn changelink(
        &self,
        dev: &Device<Self::Device>,
        request: &LinkRequest<'_>,
        rtnl: &mut Rtnl,
    ) -> Result;

    /// The number of extended statistics of a device, at most [`MOST_XSTATS`].
    const XSTATS: usize = 0;

    /// Writes the extended statistics of a device (`IFLA_INFO_XSTATS`) to `to`, which has [`Self::XSTATS`]
    /// numbers. Process context.
    fn fill_xstats(_dev: &Device<Self::Device>, _to: &mut [u64]) {}

    /// Writes the attributes of a device, each at most once. Returns the error of a `put_` function. Any
    /// context.
    fn fill_info(dev: &Device<Self::Device>, info: &mut LinkInfo<'_>) -> Result;
}

/// The most extended statistics of a device.
pub const MOST_XSTATS: usize = 16;

/// A request to make or to change a link.
pub struct LinkRequest<'a> {
    /// The attributes in `IFLA_INFO_DATA`, or null.
    data: *const *mut bindings::nlattr,
    count: usize,
    extack: *mut bindings::netlink_ext_ack,
    _request: PhantomData<&'a ()>,
}

impl LinkRequest<'_> {
    /// # Safety
    ///
    /// `data` must be null or a table of `count` pointers to attributes of a request, each null or checked
    /// by netlink; `extack` null or valid. Both must be valid for the chosen lifetime, and used by no other
    /// code.
    unsafe fn new<'a>(
        data: *const *mut bindings::nlattr,
        count: usize,
        extack: *mut bindings::netlink_ext_ack,
    ) -> LinkRequest<'a> {
        LinkRequest {
            data,
            count,
            extack,
            _request: PhantomData,
        }
    }

    /// Returns an attribute of the kind's, if it was sent. Netlink has checked it against the policy.
    pub fn attr(&self, attrtype: c_int) -> Option<NlAttr<'_>> {
        let index = usize::try_from(attrtype).ok()?;
        if self.data.is_null() || index >= self.count {
            return None;
        }
        // SAFETY: `new` was promised a table of `count` entries, each of which is null or points into the
        // message; netlink has checked that the message holds the attribute's whole length.
        unsafe { NonNull::new(*self.data.add(index)).map(|attr| NlAttr::from_raw(attr)) }
    }

    /// Sets the text that tells the user why the request is refused, and the attribute that is at fault
    /// (`NL_SET_ERR_MSG_ATTR()`).
    ///
    /// Returns `error`, for the operation to return.
    pub fn refuse(&self, error: Error, msg: &'static CStr, attr: Option<NlAttr<'_>>) -> Error {
        // SAFETY: `new` was promised that the pointer is null or valid, and used by no other code.
        unsafe { netlink::refuse(self.extack, error, msg, attr) }
    }
}

/// A request for a new link.
pub struct NewLink<'a> {
    request: LinkRequest<'a>,
    link_net: &'a Netns,
}

impl<'a> NewLink<'a> {
    /// Returns the namespace that the device sends to and receives from: `link-netns`, or the sender's.
    #[inline]
    pub fn link_net(&self) -> &'a Netns {
        self.link_net
    }
}

impl<'a> Deref for NewLink<'a> {
    type Target = LinkRequest<'a>;

    fn deref(&self) -> &LinkRequest<'a> {
        &self.request
    }
}

/// The attributes of a link, to be written to a message.
pub struct LinkInfo<'a> {
    skb: NonNull<bindings::sk_buff>,
    _message: PhantomData<&'a mut ()>,
}

impl LinkInfo<'_> {
    /// Appends an attribute.
    fn put<T: kernel::transmute::AsBytes>(&mut self, attrtype: c_int, value: &T) -> Result {
        // SAFETY: C has passed a valid buffer to `fill_info`, and does not use it until that returns, which
        // is later than `self` lives.
        unsafe { netlink::put(self.skb.as_ptr(), attrtype, value) }
    }

    /// Appends an 8-bit number. Fails with `EMSGSIZE` if the buffer is full, as the other `put_`
    /// functions do.
    pub fn put_u8(&mut self, attrtype: c_int, value: u8) -> Result {
        self.put(attrtype, &value)
    }

    /// Appends a 16-bit number.
    pub fn put_u16(&mut self, attrtype: c_int, value: u16) -> Result {
        self.put(attrtype, &value)
    }

    /// Appends a 32-bit number.
    pub fn put_u32(&mut self, attrtype: c_int, value: u32) -> Result {
        self.put(attrtype, &value)
    }

    /// Appends bytes: an address, or numbers in network order.
    pub fn put_bytes<const N: usize>(&mut self, attrtype: c_int, value: &[u8; N]) -> Result {
        self.put(attrtype, value)
    }

    /// Appends a flag.
    pub fn put_flag(&mut self, attrtype: c_int) -> Result {
        self.put(attrtype, &[0u8; 0])
    }
}

/// Registers a kind of link until the module's end. Process context, may sleep.
///
/// The module's end deletes all devices of the kind. Fails with `EEXIST` if there is a kind of this name.
pub fn register<K: LinkKind>(scope: &'static Scope, kind: K) -> Result<&'static Kind<K>> {
    const {
        assert!(!K::POLICY.is_empty());
        assert!(K::XSTATS <= MOST_XSTATS);
        assert!(
            !core::mem::needs_drop::<K>(),
            "a destructor could use what the scope has freed before"
        );
        assert!(
            align_of::<Private<K::Device>>() <= netdev::PRIVATE_ALIGN,
            "C allocates private data with this alignment"
        );
        assert!(
            size_of::<Private<K::Device>>() <= i32::MAX as usize,
            "C cuts the size of private data to an int"
        );
    }
    // Registered before any device exists, because devices have route caches, which need `Life`.
    netns::register_once::<Life>(scope)?;
    netns::register_once::<Links>(scope)?;
    let kind = scope.register_state(try_pin_init!(Kind {
        ops: Ops::new::<K>(),
        kind,
    }? Error))?;
    scope.register(try_init!(Registration {
        kind,
        // Last, because a device may be made as soon as the kind is registered.
        _: {
            // SAFETY: `Ops::new` has set the name, the policies, the size and the functions. The operations
            // keep their place until the scope's states are freed, which happens after this registration is
            // undone.
            to_result(unsafe { bindings::rtnl_link_register(kind.ops.0.get()) })?
        },
    }? Error))?;
    Ok(kind)
}

/// The operations of a kind (`struct rtnl_link_ops`).
#[repr(transparent)]
struct Ops(Opaque<bindings::rtnl_link_ops>);

// SAFETY: Any thread may register and unregister a kind: C does both under its own lock. Rust code only
// passes C the pointer.
unsafe impl Send for Ops {}
// SAFETY: As above.
unsafe impl Sync for Ops {}

impl Ops {
    fn new<K: LinkKind>() -> Self {
        Self(Opaque::new(bindings::rtnl_link_ops {
            kind: K::KIND.as_char_ptr(),
            priv_size: size_of::<Private<K::Device>>(),
            setup: Some(netdev::setup::<K::Device>),
            // The assertion in `register` keeps this from wrapping.
            maxtype: (K::POLICY.len() - 1) as c_uint,
            // A transparent wrapper.
            policy: K::POLICY.as_ptr().cast(),
            validate: Some(validate::<K>),
            newlink: Some(newlink::<K>),
            changelink: Some(changelink::<K>),
            dellink: Some(bindings::unregister_netdevice_queue),
            get_size: Some(get_size::<K>),
            fill_info: Some(fill_info::<K>),
            get_link_net: Some(get_link_net::<K>),
            get_xstats_size: (K::XSTATS != 0).then_some(get_xstats_size::<K>),
            fill_xstats: (K::XSTATS != 0).then_some(fill_xstats::<K>),
            ..Default::default()
        }))
    }
}

/// A registered kind.
///
/// # Invariants
///
/// The kind's operations are registered.
struct Registration<K: LinkKind> {
    kind: &'static Kind<K>,
}

impl<K: LinkKind> Undo for Registration<K> {
    const PHASE: Phase = Phase::EntryPoint;

    fn undo(&self) {
        // Deletes all devices, and waits until they are freed.
        // SAFETY: By the type invariant the kind is registered, and the scope calls `undo` once.
        unsafe { bindings::rtnl_link_unregister(self.kind.ops.0.get()) };
    }
}

/// # Safety
///
/// Only C may call this, with a table of the attributes of a request.
unsafe extern "C" fn validate<K: LinkKind>(
    tb: *mut *mut bindings::nlattr,
    _data: *mut *mut bindings::nlattr,
    extack: *mut bindings::netlink_ext_ack,
) -> c_int {
    // SAFETY: The table has an entry for each attribute of a link, which is null or points to an attribute
    // that netlink has checked. The policy has an entry for each number up to the greatest.
    unsafe {
        let linkinfo = *tb.add(bindings::IFLA_LINKINFO as usize);
        if linkinfo.is_null() {
            return 0;
        }
        bindings::rtnl_validate_info_data(
            linkinfo,
            (K::POLICY.len() - 1) as c_int,
            K::POLICY.as_ptr().cast(),
            extack,
        )
    }
}

/// # Safety
///
/// Only C may call this, with a device of the kind `K` that it has just made, with RTNL held.
unsafe extern "C" fn newlink<K: LinkKind>(
    dev: *mut bindings::net_device,
    params: *mut bindings::rtnl_newlink_params,
    extack: *mut bindings::netlink_ext_ack,
) -> c_int {
    // SAFETY: C passes a device that `setup` was called for and that is not registered, and a request with
    // all that belongs to it, of which it keeps references during the call. It holds RTNL. `register` has
    // registered the `Links` before the kind.
    let result = unsafe {
        let link_net = Netns::from_raw(bindings::rtnl_newlink_link_net(params));
        let request = NewLink {
            request: LinkRequest::new((*params).data, K::POLICY.len(), extack),
            link_net,
        };
        let asked = NonNull::new(*(*params).tb.add(bindings::IFLA_MTU as usize));
        let asked = asked.map(|attr| NlAttr::from_raw(attr));
        let address = NonNull::new(*(*params).tb.add(bindings::IFLA_ADDRESS as usize));
        let address = address.map(|attr| NlAttr::from_raw(attr));
        let mut rtnl = Rtnl::assume_held();
        create::<K>(dev, &request, asked, address, &mut rtnl)
    };
    match result {
        Ok(()) => 0,
        Err(error) => error.to_errno(),
    }
}

/// # Safety
///
/// `dev` must be a new device of the kind `K`.
unsafe fn create<K: LinkKind>(
    dev: *mut bindings::net_device,
    request: &NewLink<'_>,
    mtu: Option<NlAttr<'_>>,
    address: Option<NlAttr<'_>>,
    rtnl: &mut Rtnl,
) -> Result {
    // SAFETY: The caller promises a device of the kind.
    let kind = unsafe { kind::of::<K>(dev) };
    let (config, dimensions) = kind.newlink(request, rtnl)?;
    let dimensions = dimensions.within_limits();
    if let (LinkType::Ethernet, Some(at)) = (K::Device::link_type(&config), address) {
        // C has only compared the length with the device's address length, which is 0 until the device
        // becomes an Ethernet device.
        let is_unicast = at.payload_len() == 6
            && at
                .get::<[u8; 6]>()
                .is_ok_and(|bytes| bytes[0] & 1 == 0 && bytes != [0; 6]);
        if !is_unicast {
            let text = c"address must be a unicast Ethernet address";
            return Err(request.refuse(EINVAL, text, address));
        }
    }
    let asked = match mtu {
        Some(attr) => Some(attr.get::<u32>()?),
        None => None,
    };
    if asked.is_some_and(|asked| asked > dimensions.max_mtu) {
        return Err(request.refuse(EINVAL, c"mtu greater than device maximum", mtu));
    }
    // SAFETY: The caller promises a device of the kind, whose `setup` has been called and which is not
    // registered. `register` has registered the `Links` before the kind.
    unsafe {
        netdev::register_device::<K::Device>(dev, request.link_net, config, dimensions, asked, rtnl)
    }
}

/// # Safety
///
/// Only C may call this, with a registered device of the kind `K` and RTNL held.
unsafe extern "C" fn changelink<K: LinkKind>(
    dev: *mut bindings::net_device,
    _tb: *mut *mut bindings::nlattr,
    data: *mut *mut bindings::nlattr,
    extack: *mut bindings::netlink_ext_ack,
) -> c_int {
    // SAFETY: C passes a registered device of the kind, and a request with all that belongs to it. It holds
    // RTNL.
    let result = unsafe {
        let device = Device::from_raw(dev);
        let request = LinkRequest::new(data, K::POLICY.len(), extack);
        if bindings::rtnl_dev_link_net_capable(dev, device.link_net().as_raw()) {
            kind::of::<K>(dev).changelink(device, &request, &mut Rtnl::assume_held())
        } else {
            Err(request.refuse(
                EPERM,
                c"needs CAP_NET_ADMIN in the network namespace of the link's socket",
                None,
            ))
        }
    };
    match result {
        Ok(()) => 0,
        Err(error) => error.to_errno(),
    }
}

/// Returns the number of bytes that the attributes of a device take, if each attribute of the policy is
/// written once.
///
/// # Safety
///
/// Only C may call this.
unsafe extern "C" fn get_size<K: LinkKind>(_dev: *const bindings::net_device) -> usize {
    const {
        let mut size = 0;
        let mut index = 1;
        while index < K::POLICY.len() {
            size +=
                size_of::<bindings::nlattr>() + K::POLICY[index].len_bytes().next_multiple_of(4);
            index += 1;
        }
        size
    }
}

/// # Safety
///
/// Only C may call this, with a registered device of the kind `K` and a buffer that it does not use
/// meanwhile.
unsafe extern "C" fn fill_info<K: LinkKind>(
    skb: *mut bindings::sk_buff,
    dev: *const bindings::net_device,
) -> c_int {
    // SAFETY: C passes a registered device of the kind and a valid buffer.
    let result = unsafe {
        let mut info = LinkInfo {
            skb: NonNull::new_unchecked(skb),
            _message: PhantomData,
        };
        K::fill_info(Device::from_raw(dev), &mut info)
    };
    match result {
        Ok(()) => 0,
        Err(error) => error.to_errno(),
    }
}

/// # Safety
///
/// Only C may call this, with a registered device of the kind `K`.
unsafe extern "C" fn get_link_net<K: LinkKind>(
    dev: *const bindings::net_device,
) -> *mut bindings::net {
    // SAFETY: C passes a registered device of the kind.
    unsafe { Device::<K::Device>::from_raw(dev) }
        .link_net()
        .as_raw()
}

/// # Safety
///
/// Only C may call this.
unsafe extern "C" fn get_xstats_size<K: LinkKind>(_dev: *const bindings::net_device) -> usize {
    const { K::XSTATS * size_of::<u64>() }
}

/// # Safety
///
/// As for `fill_info`.
unsafe extern "C" fn fill_xstats<K: LinkKind>(
    skb: *mut bindings::sk_buff,
    dev: *const bindings::net_device,
) -> c_int {
    let mut numbers = [0_u64; MOST_XSTATS];
    let numbers = numbers.get_mut(..K::XSTATS).unwrap_or_default();
    // SAFETY: C passes a registered device of the kind and a valid buffer.
    let result = unsafe {
        K::fill_xstats(Device::from_raw(dev), numbers);
        netlink::put(skb, bindings::IFLA_INFO_XSTATS as c_int, &*numbers)
    };
    match result {
        Ok(()) => 0,
        Err(error) => error.to_errno(),
    }
}
