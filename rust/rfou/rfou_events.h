/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Trace events of rfou.ko and, with RFOU6, of rfou6.ko. Each module has its own, because each
 * loads without the other. Both are in the folder of one system.
 *
 * Documentation/tracing.rst describes the fields.
 */

#undef TRACE_SYSTEM
#define TRACE_SYSTEM rfou

#if !defined(__RFOU_EVENTS_H) || defined(TRACE_HEADER_MULTI_READ)
#define __RFOU_EVENTS_H

#include <linux/socket.h>
#include <linux/tracepoint.h>

/* clang-format off */

#define show_rfou_family(family) \
	__print_symbolic(family, { AF_INET, "inet" }, { AF_INET6, "inet6" })

DECLARE_EVENT_CLASS(rfou_packet,
	TP_PROTO(u32 netns, u32 ifindex, u16 family, u16 port, u16 source_port, u8 protocol,
		 u16 packets, u32 len),
	TP_ARGS(netns, ifindex, family, port, source_port, protocol, packets, len),
	TP_STRUCT__entry(
		__field(u32, netns)
		__field(u32, ifindex)
		__field(u32, len)
		__field(u16, family)
		__field(u16, port)
		__field(u16, source_port)
		__field(u16, packets)
		__field(u8, protocol)
	),
	TP_fast_assign(
		__entry->netns = netns;
		__entry->ifindex = ifindex;
		__entry->len = len;
		__entry->family = family;
		__entry->port = port;
		__entry->source_port = source_port;
		__entry->packets = packets;
		__entry->protocol = protocol;
	),
	TP_printk("netns=%u ifindex=%u family=%s port=%u source_port=%u protocol=%u packets=%u len=%u",
		  __entry->netns, __entry->ifindex, show_rfou_family(__entry->family),
		  __entry->port, __entry->source_port, __entry->protocol, __entry->packets,
		  __entry->len)
);

#define RFOU_PACKET_EVENT(name) \
	DEFINE_EVENT(rfou_packet, name, \
		TP_PROTO(u32 netns, u32 ifindex, u16 family, u16 port, u16 source_port, \
			 u8 protocol, u16 packets, u32 len), \
		TP_ARGS(netns, ifindex, family, port, source_port, protocol, packets, len))

#ifdef RFOU6
RFOU_PACKET_EVENT(rfou6_transmit);
#else
RFOU_PACKET_EVENT(rfou_receive);
RFOU_PACKET_EVENT(rfou_transmit);

TRACE_EVENT(rfou_drop,
	TP_PROTO(u32 netns, u16 family, u16 port, const char *reason),
	TP_ARGS(netns, family, port, reason),
	TP_STRUCT__entry(
		__field(u32, netns)
		__field(u16, family)
		__field(u16, port)
		__string(reason, reason)
	),
	TP_fast_assign(
		__entry->netns = netns;
		__entry->family = family;
		__entry->port = port;
		__assign_str(reason);
	),
	TP_printk("netns=%u family=%s port=%u reason=%s", __entry->netns,
		  show_rfou_family(__entry->family), __entry->port, __get_str(reason))
);
#endif

/* clang-format on */

#endif

/* Found by the folder of this file, which Kbuild adds to the search path. */
#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE rfou_events
#include <trace/define_trace.h>
