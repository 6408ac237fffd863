// SPDX-License-Identifier: GPL-2.0

#include <linux/btf.h>

/* An inline stub in kernels without CONFIG_BPF_SYSCALL. */
__rust_helper int rust_helper_register_btf_kfunc_id_set(enum bpf_prog_type prog_type,
							const struct btf_kfunc_id_set *kset)
{
	return register_btf_kfunc_id_set(prog_type, kset);
}
