// SPDX-License-Identifier: GPL-2.0
/*
 * Teaches `ip` the kind geneve_sample: its options are those of the kind geneve, which
 * `ip` knows.
 *
 * `ip` opens IP_LIB_DIR/link_geneve_sample.so for the kind, and takes the symbol
 * geneve_sample_link_util from it. It exports its own kinds under such names.
 */
#include "../../tools/ip-link-gue/iproute2.h"

extern struct link_util geneve_link_util;

struct link_util geneve_sample_link_util;

__attribute__((constructor)) static void take_options_of_geneve(void)
{
	geneve_sample_link_util = geneve_link_util;
	geneve_sample_link_util.next = NULL;
	geneve_sample_link_util.id = "geneve_sample";
}
