// SPDX-License-Identifier: GPL-2.0

#include <linux/bitops.h>
#include <linux/unaligned.h>
#include <net/checksum.h>

/* Adds a word of 64 bits and the carry. */
static __always_inline u64 sum_with(u64 sum, const u8 *start)
{
	u64 word = get_unaligned((const u64 *)start);

	sum += word;
	return sum + (sum < word);
}

/* Adds two words of 64 bits and the carries. */
static __always_inline u64 sum_with_two(u64 sum, const u8 *start)
{
#if __has_builtin(__builtin_addcll)
	unsigned long long carry;

	sum = __builtin_addcll(sum, get_unaligned((const u64 *)start), 0, &carry);
	sum = __builtin_addcll(sum, get_unaligned((const u64 *)(start + 8)), carry, &carry);
	return sum + carry;
#else
	return sum_with(sum_with(sum, start), start + 8);
#endif
}

/* Adds @number words of 64 bits and the carries. @number is a constant. */
static __always_inline u64 sum_with_words(u64 sum, const u8 *start, unsigned int number)
{
#if __has_builtin(__builtin_addcll)
	unsigned long long carry = 0;

#ifdef __clang__
#pragma clang loop unroll(full)
#endif
	for (unsigned int i = 0; i < number; i++, start += sizeof(u64))
		sum = __builtin_addcll(sum, get_unaligned((const u64 *)start), carry, &carry);
	return sum + carry;
#else
	for (; number; number--, start += sizeof(u64))
		sum = sum_with(sum, start);
	return sum;
#endif
}

static __always_inline __wsum negated_fold(u64 sum)
{
	sum = (u32)sum + (sum >> 32);
	return wsum_negate((__force __wsum)((u32)sum + (u32)(sum >> 32)));
}

/* Subtracts the sum of the eight bytes of a UDP header, and a known sum, from a sum. */
static __always_inline __wsum csum_without_udp(__wsum csum, const u8 *udp, __wsum known)
{
	u64 sum = (u64)(__force u32)wsum_negate(csum) + (__force u32)known;

	return negated_fold(sum_with(sum, udp));
}

/* Subtracts the sum of a header of 52 bytes from a sum. */
static __always_inline __wsum csum_without_52(__wsum csum, const u8 *start)
{
	u64 sum = (u64)(__force u32)wsum_negate(csum) + get_unaligned((const u32 *)start);

	return negated_fold(sum_with_words(sum, start + sizeof(u32), 6));
}

/* Subtracts the sum of a header of 56 bytes from a sum. */
static __always_inline __wsum csum_without_56(__wsum csum, const u8 *start)
{
	return negated_fold(sum_with_words((__force u32)wsum_negate(csum), start, 7));
}

/* Subtracts the sum of a header from a sum. Fast for a header of a few words. */
static __always_inline __wsum csum_without(__wsum csum, const u8 *start, unsigned int len)
{
	u64 sum = (__force u32)wsum_negate(csum);

	if (len % sizeof(u32)) {
		if (len % sizeof(u16))
			return wsum_negate(csum_partial(start, len, wsum_negate(csum)));
		/* The length is even but no multiple of four, as with an EtherIP header. */
		len -= sizeof(u16);
		sum += get_unaligned((const u16 *)(start + len));
	}
	if (len % sizeof(u64)) {
		sum += get_unaligned((const u32 *)start);
		start += sizeof(u32);
		len -= sizeof(u32);
	}
	if (len % (2 * sizeof(u64))) {
		sum = sum_with(sum, start);
		start += sizeof(u64);
		len -= sizeof(u64);
	}
#ifdef __clang__
	/* At most one round for most packets. Unrolled if the length is a constant. */
#pragma clang loop unroll(full)
#endif
	for (; len; len -= 2 * sizeof(u64), start += 2 * sizeof(u64))
		sum = sum_with_two(sum, start);
	return negated_fold(sum);
}
