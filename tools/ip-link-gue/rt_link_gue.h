/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The attributes of the link kind "gue" in IFLA_INFO_DATA, as in
 * Documentation/netlink/rt-link-gue.yaml. A number is never reused.
 */
#ifndef RT_LINK_GUE_H
#define RT_LINK_GUE_H

#include <linux/types.h>
#include <stdint.h>

enum {
	IFLA_GUE_UNSPEC,
	IFLA_GUE_ID,
	IFLA_GUE_REMOTE,
	IFLA_GUE_REMOTE6,
	IFLA_GUE_LOCAL,
	IFLA_GUE_LOCAL6,
	IFLA_GUE_LINK,
	IFLA_GUE_PORT,
	IFLA_GUE_DPORT,
	IFLA_GUE_SPORT,
	IFLA_GUE_SPORT_RANGE,
	IFLA_GUE_MODE,
	IFLA_GUE_VARIANT,
	IFLA_GUE_EXTERNAL,
	IFLA_GUE_TTL,
	IFLA_GUE_TTL_INHERIT,
	IFLA_GUE_TOS,
	IFLA_GUE_TOS_INHERIT,
	IFLA_GUE_DF,
	IFLA_GUE_FLOWLABEL,
	IFLA_GUE_UDP_CSUM,
	IFLA_GUE_UDP_ZERO_CSUM6_TX,
	IFLA_GUE_UDP_ZERO_CSUM6_RX,
	IFLA_GUE_REMCSUM,
	IFLA_GUE_AUTH,
	IFLA_GUE_COVER,
	IFLA_GUE_HEADERCSUM,
	IFLA_GUE_HEADERCSUM_COVER,
	IFLA_GUE_CRC,
	IFLA_GUE_CRC_COVER,
	IFLA_GUE_FRAGMENT,
	IFLA_GUE_FRAGMENT_SIZE,
	IFLA_GUE_KEEPALIVE,
	IFLA_GUE_DEAD,
	IFLA_GUE_ROAMING,

	__IFLA_GUE_MAX
};

#define IFLA_GUE_MAX (__IFLA_GUE_MAX - 1)

struct ifla_gue_port_range {
	__be16 low;
	__be16 high;
};

enum ifla_gue_mode {
	GUE_MODE_IP,
	GUE_MODE_ETHERNET,
};

enum ifla_gue_df {
	GUE_DF_UNSET,
	GUE_DF_SET,
	GUE_DF_INHERIT,
};

enum ifla_gue_remcsum {
	GUE_REMCSUM_OFF,
	GUE_REMCSUM_DRAFT,
	GUE_REMCSUM_LINUX,
};

enum ifla_gue_auth {
	GUE_AUTH_NONE,
	GUE_AUTH_COOKIE8,
	GUE_AUTH_COOKIE16,
	GUE_AUTH_COOKIE32,
	GUE_AUTH_HMAC,
};

/* The coverage of a whole payload. */
#define GUE_COVER_ALL 65535

/* Extended statistics: IFLA_INFO_XSTATS. A newer kernel may add members at the end. */
struct ifla_gue_xstats {
	/* Milliseconds since the last authentic message; GUE_NEVER_HEARD for none. */
	__u64 last_heard_ms;
	/* The last round-trip time in nanoseconds; 0 if none was measured. */
	__u64 rtt_ns;
	__u64 moves;
	__u64 replays;
	__u64 auth_failures;
	/* Echo requests received, replies sent, and requests over the limit. */
	__u64 requests;
	__u64 replies;
	__u64 limited;
};

#define GUE_NEVER_HEARD UINT64_MAX

#endif
