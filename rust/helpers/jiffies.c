// SPDX-License-Identifier: GPL-2.0

#include <linux/jiffies.h>

/* Counts periods of half a second to a second. */
__rust_helper u64 rust_helper_coarse_time(void)
{
	return jiffies >> ilog2(HZ);
}
