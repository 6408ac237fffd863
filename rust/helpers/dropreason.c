// SPDX-License-Identifier: GPL-2.0

#include <linux/rcupdate.h>
#include <linux/types.h>
#include <net/dropreason.h>

/* Returns a pointer to compare, not to dereference. */
__rust_helper const struct drop_reason_list *
rust_helper_drop_reasons_of_subsys(enum skb_drop_reason_subsys subsys)
{
	return rcu_access_pointer(drop_reasons_by_subsys[subsys]);
}

/*
 * Replaces an entry that is @old. The owner of a number writes the entry without
 * comparing, so the owner wins whether it writes before or after.
 */
__rust_helper bool rust_helper_drop_reasons_cmpxchg(enum skb_drop_reason_subsys subsys,
						    const struct drop_reason_list *old,
						    const struct drop_reason_list *new)
{
	return unrcu_pointer(cmpxchg(&drop_reasons_by_subsys[subsys], RCU_INITIALIZER(old),
				     RCU_INITIALIZER(new))) == old;
}
