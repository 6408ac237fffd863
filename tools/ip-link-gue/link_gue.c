// SPDX-License-Identifier: GPL-2.0
/*
 * link_gue.so: the link kind "gue" for an unmodified iproute2, which opens the
 * plug-in when it meets the kind.
 */
#include "link_gue.h"
#include "rt_link_gue.h"

void gue_usage(FILE *file)
{
	fputs("Usage: ... gue remote { ADDR | any }\n"
	      "		[ id GROUP ]\n"
	      "		[ local { ADDR | any } ]\n"
	      "		[ dev PHYS_DEV ]\n"
	      "		[ port PORT ]\n"
	      "		[ dport PORT ]\n"
	      "		[ sport { auto | PORT } | srcport MIN MAX ]\n"
	      "		[ mode { ip | ethernet } ]\n"
	      "		[ variant { 0 | 1 } ]\n"
	      "		[ ttl { TTL | auto | inherit } ]\n"
	      "		[ tos { TOS | inherit } ]\n"
	      "		[ df { unset | set | inherit } ]\n"
	      "		[ flowlabel LABEL ]\n"
	      "		[ [no]udpcsum ]\n"
	      "		[ [no]udp6zerocsumtx ]\n"
	      "		[ [no]udp6zerocsumrx ]\n"
	      "		[ [no]remcsum | [no]linux-remcsum ]\n"
	      "		[ auth { none | cookie8 | cookie16 | cookie32 | hmac } ]\n"
	      "		[ cover COVERAGE ]\n"
	      "		[ headercsum [ COVERAGE ] | noheadercsum ]\n"
	      "		[ crc [ COVERAGE ] | nocrc ]\n"
	      "		[ fragment [ SIZE ] | nofragment ]\n"
	      "		[ keepalive SECONDS [ dead SECONDS ] ]\n"
	      "		[ [no]roaming ]\n"
	      "	... gue external ...\n"
	      "\n"
	      "Where:	GROUP := 0-4294967295\n"
	      "	ADDR  := IP_ADDRESS\n"
	      "	PORT  := 1-65535\n"
	      "	TTL   := 1-255\n"
	      "	TOS   := 0x00-0xfc\n"
	      "	LABEL := 0-1048575\n"
	      "	COVERAGE := { 0-65534 | all }\n"
	      "	SIZE  := 1-65535\n"
	      "	SECONDS := 0-65535\n",
	      file);
}

static void gue_help(struct link_util *self, int argc, char **argv, FILE *file)
{
	(void)self;
	(void)argc;
	(void)argv;
	gue_usage(file);
}

__attribute__((visibility("default"))) struct link_util gue_link_util = {
	.id = "gue",
	.maxattr = IFLA_GUE_MAX,
	.parse_opt = gue_parse,
	.print_opt = gue_print,
	.print_xstats = gue_print_xstats,
	.print_help = gue_help,
};
