// SPDX-License-Identifier: GPL-2.0

#include <linux/cpumask.h>
#include <linux/percpu.h>

__rust_helper u64 __percpu *rust_helper_alloc_percpu_u64s(size_t count, size_t align, gfp_t gfp)
{
	return __alloc_percpu_gfp(array_size(count, sizeof(u64)), align, gfp);
}

__rust_helper void rust_helper_free_percpu_u64s(u64 __percpu *counters)
{
	free_percpu(counters);
}

__rust_helper void rust_helper_this_cpu_add_u64(u64 __percpu *counter, u64 value)
{
	this_cpu_add(*counter, value);
}

__rust_helper u64 rust_helper_per_cpu_u64(u64 __percpu *counter, unsigned int cpu)
{
	return READ_ONCE(*per_cpu_ptr(counter, cpu));
}

/* Returns the first possible CPU from @cpu on. Without one, returns nr_cpu_ids or more. */
__rust_helper unsigned int rust_helper_possible_cpu_from(unsigned int cpu)
{
	return cpumask_next((int)cpu - 1, cpu_possible_mask);
}

__rust_helper unsigned int rust_helper_nr_cpu_ids(void)
{
	return nr_cpu_ids;
}
