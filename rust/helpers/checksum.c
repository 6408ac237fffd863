// SPDX-License-Identifier: GPL-2.0

#include <linux/bitops.h>
#include <linux/unaligned.h>
#include <net/checksum.h>

/* Subtracts the sum of a header from a sum. Fast for a header of a few words. */
static __always_inline __wsum csum_without(__wsum csum, const u8 *start, unsigned int len)
{
	u64 sum = (__force u32)wsum_negate(csum);

	if (len % sizeof(u32))
		return wsum_negate(csum_partial(start, len, wsum_negate(csum)));
#ifdef __clang__
	/* Two to five words in most packets. */
#pragma nounroll
#endif
	for (; len; len -= sizeof(u32), start += sizeof(u32))
		sum += get_unaligned((const u32 *)start);
	sum = (u32)sum + (sum >> 32);
	return wsum_negate((__force __wsum)((u32)sum + (u32)(sum >> 32)));
}
