/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Included before all else when clang compiles the helpers to bitcode.
 *
 * The kernel may be configured for gcc, with per-CPU variables in an address space of
 * their own. For an operand of inline assembly clang forgets the address space, and the
 * instruction then reaches another address. Without these options the kernel's headers
 * write the segment into the assembly.
 */

#include <linux/kconfig.h>

#undef CONFIG_CC_HAS_NAMED_AS
#undef CONFIG_CC_HAS_NAMED_AS_FIXED_SANITIZERS
#undef CONFIG_USE_X86_SEG_SUPPORT
