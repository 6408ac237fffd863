// SPDX-License-Identifier: GPL-2.0

#include <linux/module.h>

/* True if a module has references besides the one that loading holds. False during unload. */
__rust_helper bool rust_helper_module_is_used(struct module *module)
{
#ifdef CONFIG_MODULE_UNLOAD
	return module && module_refcount(module) > 1;
#else
	return false;
#endif
}
