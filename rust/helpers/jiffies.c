// SPDX-License-Identifier: GPL-2.0

#include <linux/jiffies.h>

/* Returns a counter of periods. A period is between half a second and a second long. */
__rust_helper u64 rust_helper_coarse_time(void)
{
	return jiffies >> ilog2(HZ);
}
