// SPDX-License-Identifier: GPL-2.0

#include <linux/ipv6.h>

__rust_helper bool rust_helper_ipv6_mod_enabled(void)
{
	return ipv6_mod_enabled();
}
