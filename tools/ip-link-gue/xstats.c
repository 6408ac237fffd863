// SPDX-License-Identifier: GPL-2.0
/*
 * The statistics of a peer: two lines below the options, for `ip -s -d link`.
 */
#include <string.h>

#include "link_gue.h"
#include "rt_link_gue.h"

#define NS_PER_US 1000
#define US_PER_MS 1000

static void print_text(const char *text)
{
	print_color_string(PRINT_FP, COLOR_NONE, NULL, "%s", text);
}

static void print_number(enum output_type type, const char *key, const char *format, __u64 value)
{
	print_color_lluint(type, COLOR_NONE, key, format, value);
}

/* JSON has no key for a time that is not known. */
static void print_heard(const struct ifla_gue_xstats *stats)
{
	if (stats->last_heard_ms == GUE_NEVER_HEARD)
		print_text("heard never");
	else
		print_number(PRINT_ANY, "last_heard_ms", "heard %llu ms ago", stats->last_heard_ms);
}

/* Milliseconds in text, as ping prints them; nanoseconds in JSON. */
static void print_rtt(const struct ifla_gue_xstats *stats)
{
	__u64 us = stats->rtt_ns / NS_PER_US;

	if (!stats->rtt_ns)
		return;
	print_number(PRINT_JSON, "rtt_ns", NULL, stats->rtt_ns);
	print_number(PRINT_FP, NULL, " rtt %llu", us / US_PER_MS);
	print_number(PRINT_FP, NULL, ".%03llu ms", us % US_PER_MS);
}

void gue_print_xstats(struct link_util *self, FILE *file, struct rtattr *xstats)
{
	struct ifla_gue_xstats stats;

	(void)self;
	(void)file;
	if (!xstats || RTA_PAYLOAD(xstats) < sizeof(stats))
		return;
	memcpy(&stats, RTA_DATA(xstats), sizeof(stats));
	print_nl();
	print_text("    peer: ");
	print_heard(&stats);
	print_rtt(&stats);
	print_number(PRINT_ANY, "moves", " moves %llu", stats.moves);
	print_number(PRINT_ANY, "replays", " replays %llu", stats.replays);
	print_number(PRINT_ANY, "auth_failures", " auth-failures %llu", stats.auth_failures);
	print_nl();
	print_number(PRINT_ANY, "requests", "    echo: requests %llu", stats.requests);
	print_number(PRINT_ANY, "replies", " replies %llu", stats.replies);
	print_number(PRINT_ANY, "limited", " limited %llu ", stats.limited);
}
