/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Names a set of kfuncs for Rust: net::kfunc_set!(NAME) refers to the set that
 * RUST_KFUNC_SET(NAME, IDS) defines in a C file of the same module.
 */

#ifndef __RUST_KFUNC_SET_H
#define __RUST_KFUNC_SET_H

#include <linux/btf.h>
#include <linux/btf_ids.h>
#include <linux/module.h>

/* IDS names the set that BTF_KFUNCS_START(IDS) starts. This macro alone uses the prefix. */
#define RUST_KFUNC_SET(name, ids)                                                                  \
	extern const struct btf_kfunc_id_set rust_kfunc_set_##name;                                \
	const struct btf_kfunc_id_set rust_kfunc_set_##name = {                                    \
		.owner = THIS_MODULE,                                                              \
		.set = &(ids),                                                                     \
	}

#endif
