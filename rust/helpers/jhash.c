// SPDX-License-Identifier: GPL-2.0

#include <linux/jhash.h>

__rust_helper u32 rust_helper_jhash2(const u32 *words, u32 count, u32 seed)
{
	return jhash2(words, count, seed);
}
