// SPDX-License-Identifier: GPL-2.0

#include <linux/jiffies.h>
#include <linux/workqueue.h>

__rust_helper void rust_helper_delayed_work_init(struct delayed_work *work, work_func_t func)
{
	INIT_DELAYED_WORK(work, func);
}

/* Queues the work to run at once, even if it is queued for later. */
__rust_helper void rust_helper_delayed_work_run_now(struct delayed_work *work)
{
	mod_delayed_work(system_dfl_wq, work, 0);
}

/* Queues the work to run after @ms milliseconds, unless it is queued already. */
__rust_helper void rust_helper_delayed_work_run_in(struct delayed_work *work, unsigned int ms)
{
	queue_delayed_work(system_dfl_wq, work, msecs_to_jiffies(ms));
}
