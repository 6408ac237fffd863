/* SPDX-License-Identifier: GPL-2.0 */
/*
 * All that the plug-in relies on in iproute2. iproute2 promises its plug-ins
 * nothing: these declarations repeat those of versions 6.1 to 7.1, which are
 * the same. check.c compares them with the running `ip` when `ip` loads the
 * plug-in.
 *
 * Apart from the declarations below, the plug-in relies on three facts:
 *
 * - `ip` opens IP_LIB_DIR/link_gue.so for the kind "gue", takes the symbol
 *   gue_link_util, and sets its member `next`;
 * - parse_opt() gets a message in a buffer of at least 1,024 bytes, in which
 *   IFLA_INFO_DATA is open, with NLM_F_CREATE set unless the link exists;
 * - print_opt() gets an array of maxattr + 1 attributes, or NULL.
 */
#ifndef IPROUTE2_H
#define IPROUTE2_H

#include <linux/rtnetlink.h>
#include <stdbool.h>
#include <stdio.h>

struct link_util {
	struct link_util *next;
	const char *id;
	int maxattr;
	int (*parse_opt)(struct link_util *, int, char **, struct nlmsghdr *);
	void (*print_opt)(struct link_util *, FILE *, struct rtattr *[]);
	void (*print_xstats)(struct link_util *, FILE *, struct rtattr *);
	void (*print_help)(struct link_util *, int, char **, FILE *);
	int (*parse_ifla_xstats)(struct link_util *, int, char **);
	int (*print_ifla_xstats)(struct nlmsghdr *, void *);
};

enum output_type {
	PRINT_FP = 1,
	PRINT_JSON = 2,
	PRINT_ANY = 4,
};

enum color_attr {
	COLOR_IFNAME = 0,
	COLOR_INET = 2,
	COLOR_INET6 = 3,
	COLOR_NONE = 6,
};

/* The room for a message in parse_opt(). */
#define IP_MESSAGE_MAX 1024

/* FUNCTION(type, name, arguments) for each function of `ip`. */
/* clang-format off */
#define IP_FUNCTIONS(FUNCTION)						       \
	/* Refuse: print "Error: ..." and exit. */			       \
	FUNCTION(_Noreturn void, incomplete_command, (void))		       \
	FUNCTION(_Noreturn void, missarg, (const char *name))		       \
	FUNCTION(_Noreturn void, invarg, (const char *text, const char *value)) \
	FUNCTION(_Noreturn void, duparg, (const char *name, const char *value)) \
	/* Return 0, or another value for text that is no such number. */      \
	FUNCTION(int, get_u32, (__u32 *number, const char *text, int base))    \
	FUNCTION(int, rtnl_dsfield_a2n, (__u32 *number, const char *text))     \
	/* 0 for no device; "if5" for an index without a device. */	       \
	FUNCTION(unsigned int, ll_name_to_index, (const char *name))	       \
	FUNCTION(const char *, ll_index_to_name, (unsigned int index))	       \
	FUNCTION(int, addattr_l, (struct nlmsghdr *message, int room,	       \
				  int type, const void *value, int length))    \
	FUNCTION(bool, is_json_context, (void))				       \
	FUNCTION(void, open_json_object, (const char *key))		       \
	FUNCTION(void, close_json_object, (void))			       \
	/* The end of a line of text, as `ip -oneline` wants it. */	       \
	FUNCTION(void, print_nl, (void))				       \
	FUNCTION(int, print_color_string, (enum output_type, enum color_attr,  \
		 const char *key, const char *format, const char *value))      \
	FUNCTION(int, print_color_uint, (enum output_type, enum color_attr,    \
		 const char *key, const char *format, unsigned int value))     \
	FUNCTION(int, print_color_lluint, (enum output_type, enum color_attr,  \
		 const char *key, const char *format, unsigned long long value)) \
	FUNCTION(int, print_color_0xhex, (enum output_type, enum color_attr,   \
		 const char *key, const char *format, unsigned long long value)) \
	FUNCTION(int, print_color_bool, (enum output_type, enum color_attr,    \
		 const char *key, const char *format, bool value))
/* clang-format on */

#define DECLARE(type, name, arguments) type name arguments;
IP_FUNCTIONS(DECLARE)
#undef DECLARE

#endif
