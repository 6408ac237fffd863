// SPDX-License-Identifier: GPL-2.0
/*
 * Parses words of the command line into netlink attributes. Only what the user typed
 * becomes an attribute: the kernel has the defaults, and keeps what a change does not name.
 */
#include <arpa/inet.h>
#include <linux/netlink.h>
#include <stdint.h>
#include <string.h>

#include "link_gue.h"
#include "rt_link_gue.h"

struct request {
	struct nlmsghdr *message;
	int argc;
	char **argv;
	/* The word that gave each attribute. */
	const char *word[IFLA_GUE_MAX + 1];
	/* 0, AF_INET or AF_INET6; "any" fits both. */
	int remote_family;
	int local_family;
	__u32 variant;
	__u32 keepalive;
	__u32 dead;
	__u8 auth;
};

struct option {
	const char *word;
	void (*parse)(struct request *request, const struct option *option);
	int attribute;
	__u32 min;
	__u32 max;
	/* For a word without a value. */
	__u8 value;
};

/* Ends `ip` with a text that begins with the argument's name. */
static _Noreturn void refuse(const char *word, const char *value, const char *fact)
{
	char text[160];

	snprintf(text, sizeof(text), "%s %s", word, fact);
	invarg(text, value);
}

static const char *next_word(struct request *request)
{
	if (request->argc < 2)
		incomplete_command();
	request->argc--;
	return *++request->argv;
}

/* Marks an attribute as given. Refuses a second time. */
static void give(struct request *request, const struct option *option, int attribute,
		 const char *value)
{
	const char *before = request->word[attribute];

	if (before && strcmp(before, option->word))
		refuse(option->word, value, "contradicts an earlier argument");
	if (before)
		duparg(option->word, value);
	request->word[attribute] = option->word;
}

static void put(struct request *request, int attribute, const void *value, int length)
{
	addattr_l(request->message, IP_MESSAGE_MAX, attribute, value, length);
}

static void put_u8(struct request *request, int attribute, __u8 value)
{
	put(request, attribute, &value, sizeof(value));
}

static void put_u16(struct request *request, int attribute, __u16 value)
{
	put(request, attribute, &value, sizeof(value));
}

static void put_be16(struct request *request, int attribute, __u16 value)
{
	__be16 big = htons(value);

	put(request, attribute, &big, sizeof(big));
}

static __u32 number(const struct option *option, const char *text)
{
	char fact[64];
	__u32 value;

	if (!get_u32(&value, text, 0) && value >= option->min && value <= option->max)
		return value;
	snprintf(fact, sizeof(fact), "must be a number from %u to %u", option->min, option->max);
	refuse(option->word, text, fact);
}

static void parse_id(struct request *request, const struct option *option)
{
	const char *text = next_word(request);
	__u32 value = number(option, text);

	give(request, option, option->attribute, text);
	put(request, option->attribute, &value, sizeof(value));
}

static void parse_flowlabel(struct request *request, const struct option *option)
{
	const char *text = next_word(request);
	__be32 value = htonl(number(option, text));

	give(request, option, option->attribute, text);
	put(request, option->attribute, &value, sizeof(value));
}

static void parse_port(struct request *request, const struct option *option)
{
	const char *text = next_word(request);

	give(request, option, option->attribute, text);
	put_be16(request, option->attribute, number(option, text));
}

static void parse_sport(struct request *request, const struct option *option)
{
	const char *text = next_word(request);

	give(request, option, IFLA_GUE_SPORT, text);
	put_be16(request, IFLA_GUE_SPORT, strcmp(text, "auto") ? number(option, text) : 0);
}

/* `srcport` and `sport` are two ways to say the same thing. */
static void parse_srcport(struct request *request, const struct option *option)
{
	const char *low = next_word(request);
	const char *high = next_word(request);
	struct ifla_gue_port_range range = {
		.low = htons(number(option, low)),
		.high = htons(number(option, high)),
	};

	give(request, option, IFLA_GUE_SPORT, high);
	if (ntohs(range.low) > ntohs(range.high))
		refuse(option->word, high, "must not have its last port below its first");
	put(request, IFLA_GUE_SPORT_RANGE, &range, sizeof(range));
}

static void parse_dev(struct request *request, const struct option *option)
{
	const char *name = next_word(request);
	__u32 index = ll_name_to_index(name);

	give(request, option, option->attribute, name);
	if (!index)
		refuse(option->word, name, "names no device");
	put(request, option->attribute, &index, sizeof(index));
}

/* Parses an address of one host. Returns its family, or 0 for "any". */
static int address(const struct option *option, const char *text, struct in6_addr *bytes)
{
	const __u8 *first = (const __u8 *)bytes;
	int family = strchr(text, ':') ? AF_INET6 : AF_INET;

	memset(bytes, 0, sizeof(*bytes));
	if (!strcmp(text, "any"))
		return 0;
	if (inet_pton(family, text, bytes) != 1)
		refuse(option->word, text, "must be an IPv4 or IPv6 address, or any");
	if (family == AF_INET ? *first >> 4 == 14 : *first == 0xff)
		refuse(option->word, text, "must not be a multicast address");
	return family;
}

static void put_address(struct request *request, int attribute, int family,
			const struct in6_addr *bytes)
{
	/* The attribute for IPv6 follows that for IPv4. */
	if (family == AF_INET6)
		put(request, attribute + 1, bytes, sizeof(*bytes));
	else
		put(request, attribute, bytes, sizeof(struct in_addr));
}

static void parse_remote(struct request *request, const struct option *option)
{
	const char *text = next_word(request);
	struct in6_addr bytes;

	give(request, option, option->attribute, text);
	request->remote_family = address(option, text, &bytes);
	if (request->remote_family)
		put_address(request, IFLA_GUE_REMOTE, request->remote_family, &bytes);
}

static void parse_local(struct request *request, const struct option *option)
{
	const char *text = next_word(request);
	struct in6_addr bytes;

	give(request, option, option->attribute, text);
	request->local_family = address(option, text, &bytes);
	if (request->local_family)
		put_address(request, IFLA_GUE_LOCAL, request->local_family, &bytes);
}

/* Returns the place of a word among `names`, which end with NULL. */
static __u8 name(struct request *request, const struct option *option, const char *const names[],
		 const char *fact)
{
	const char *text = next_word(request);
	__u8 value = 0;

	give(request, option, option->attribute, text);
	while (names[value] && strcmp(names[value], text))
		value++;
	if (!names[value])
		refuse(option->word, text, fact);
	put_u8(request, option->attribute, value);
	return value;
}

/* In the order of enum ifla_gue_mode. */
static void parse_mode(struct request *request, const struct option *option)
{
	static const char *const names[] = { "ip", "ethernet", NULL };

	name(request, option, names, "must be ip or ethernet");
}

static void parse_variant(struct request *request, const struct option *option)
{
	const char *text = next_word(request);

	give(request, option, option->attribute, text);
	request->variant = number(option, text);
	put_u8(request, option->attribute, request->variant);
}

static void parse_ttl(struct request *request, const struct option *option)
{
	const char *text = next_word(request);
	bool inherit = !strcmp(text, "inherit");
	__u8 ttl = 0;

	give(request, option, option->attribute, text);
	if (!inherit && strcmp(text, "auto"))
		ttl = number(option, text);
	put_u8(request, IFLA_GUE_TTL, ttl);
	put_u8(request, IFLA_GUE_TTL_INHERIT, inherit);
}

/* As elsewhere in `ip`: a name of /etc/iproute2/rt_dsfield, or hexadecimal. */
static void parse_tos(struct request *request, const struct option *option)
{
	const char *text = next_word(request);
	bool inherit = !strcmp(text, "inherit");
	__u32 tos = 0;

	give(request, option, option->attribute, text);
	if (!inherit && rtnl_dsfield_a2n(&tos, text))
		refuse(option->word, text, "must be inherit, a name or a hexadecimal number");
	if (tos & 3)
		refuse(option->word, text, "must not set the bits of ECN (0x03)");
	put_u8(request, IFLA_GUE_TOS, tos);
	put_u8(request, IFLA_GUE_TOS_INHERIT, inherit);
}

/* In the order of enum ifla_gue_df. */
static void parse_df(struct request *request, const struct option *option)
{
	static const char *const names[] = { "unset", "set", "inherit", NULL };

	name(request, option, names, "must be unset, set or inherit");
}

/* In the order of enum ifla_gue_auth. */
static void parse_auth(struct request *request, const struct option *option)
{
	static const char *const names[] = {
		"none", "cookie8", "cookie16", "cookie32", "hmac", NULL
	};

	request->auth =
		name(request, option, names, "must be none, cookie8, cookie16, cookie32 or hmac");
}

static __u16 coverage(const struct option *option, const char *text)
{
	__u32 bytes;

	if (!strcmp(text, "all"))
		return GUE_COVER_ALL;
	if (get_u32(&bytes, text, 0) || bytes >= GUE_COVER_ALL)
		refuse(option->word, text, "must be all, or a number of bytes from 0 to 65534");
	return bytes;
}

static void parse_cover(struct request *request, const struct option *option)
{
	const char *text = next_word(request);

	give(request, option, option->attribute, text);
	put_u16(request, option->attribute, coverage(option, text));
}

/* The coverage is optional: any other word is the next option. */
static void parse_checksum(struct request *request, const struct option *option)
{
	__u16 bytes = 0;

	give(request, option, option->attribute, option->word);
	if (request->argc > 1 &&
	    (!strcmp(request->argv[1], "all") || strchr("-0123456789", *request->argv[1])))
		bytes = coverage(option, next_word(request));
	put_u8(request, option->attribute, 1);
	/* The attribute of the coverage follows that of the switch. */
	put_u16(request, option->attribute + 1, bytes);
}

/* The size is optional, as the coverage of a checksum is. */
static void parse_fragment(struct request *request, const struct option *option)
{
	__u16 size = 0;

	give(request, option, option->attribute, option->word);
	if (request->argc > 1 && strchr("-0123456789", *request->argv[1]))
		size = number(option, next_word(request));
	put_u8(request, option->attribute, 1);
	put_u16(request, IFLA_GUE_FRAGMENT_SIZE, size);
}

static void parse_switch(struct request *request, const struct option *option)
{
	give(request, option, option->attribute, option->word);
	put_u8(request, option->attribute, option->value);
}

static __u32 seconds(struct request *request, const struct option *option)
{
	const char *text = next_word(request);
	__u32 value = number(option, text);

	give(request, option, option->attribute, text);
	put_u16(request, option->attribute, value);
	return value;
}

static void parse_keepalive(struct request *request, const struct option *option)
{
	request->keepalive = seconds(request, option);
}

static void parse_dead(struct request *request, const struct option *option)
{
	request->dead = seconds(request, option);
}

static void parse_external(struct request *request, const struct option *option)
{
	give(request, option, option->attribute, option->word);
	put(request, option->attribute, NULL, 0);
}

static const struct option options[] = {
	{ "id", parse_id, IFLA_GUE_ID, 0, UINT32_MAX, 0 },
	{ "remote", parse_remote, IFLA_GUE_REMOTE, 0, 0, 0 },
	{ "local", parse_local, IFLA_GUE_LOCAL, 0, 0, 0 },
	{ "dev", parse_dev, IFLA_GUE_LINK, 0, 0, 0 },
	{ "port", parse_port, IFLA_GUE_PORT, 1, UINT16_MAX, 0 },
	{ "dport", parse_port, IFLA_GUE_DPORT, 1, UINT16_MAX, 0 },
	{ "sport", parse_sport, IFLA_GUE_SPORT, 1, UINT16_MAX, 0 },
	{ "srcport", parse_srcport, IFLA_GUE_SPORT_RANGE, 1, UINT16_MAX, 0 },
	{ "mode", parse_mode, IFLA_GUE_MODE, 0, 0, 0 },
	{ "variant", parse_variant, IFLA_GUE_VARIANT, 0, 1, 0 },
	{ "external", parse_external, IFLA_GUE_EXTERNAL, 0, 0, 0 },
	{ "ttl", parse_ttl, IFLA_GUE_TTL, 1, UINT8_MAX, 0 },
	{ "tos", parse_tos, IFLA_GUE_TOS, 0, 0, 0 },
	{ "df", parse_df, IFLA_GUE_DF, 0, 0, 0 },
	{ "flowlabel", parse_flowlabel, IFLA_GUE_FLOWLABEL, 0, 0xfffff, 0 },
	{ "udpcsum", parse_switch, IFLA_GUE_UDP_CSUM, 0, 0, 1 },
	{ "noudpcsum", parse_switch, IFLA_GUE_UDP_CSUM, 0, 0, 0 },
	{ "udp6zerocsumtx", parse_switch, IFLA_GUE_UDP_ZERO_CSUM6_TX, 0, 0, 1 },
	{ "noudp6zerocsumtx", parse_switch, IFLA_GUE_UDP_ZERO_CSUM6_TX, 0, 0, 0 },
	{ "udp6zerocsumrx", parse_switch, IFLA_GUE_UDP_ZERO_CSUM6_RX, 0, 0, 1 },
	{ "noudp6zerocsumrx", parse_switch, IFLA_GUE_UDP_ZERO_CSUM6_RX, 0, 0, 0 },
	{ "remcsum", parse_switch, IFLA_GUE_REMCSUM, 0, 0, GUE_REMCSUM_DRAFT },
	{ "noremcsum", parse_switch, IFLA_GUE_REMCSUM, 0, 0, GUE_REMCSUM_OFF },
	{ "linux-remcsum", parse_switch, IFLA_GUE_REMCSUM, 0, 0, GUE_REMCSUM_LINUX },
	{ "nolinux-remcsum", parse_switch, IFLA_GUE_REMCSUM, 0, 0, GUE_REMCSUM_OFF },
	{ "auth", parse_auth, IFLA_GUE_AUTH, 0, 0, 0 },
	{ "cover", parse_cover, IFLA_GUE_COVER, 0, 0, 0 },
	{ "headercsum", parse_checksum, IFLA_GUE_HEADERCSUM, 0, 0, 1 },
	{ "noheadercsum", parse_switch, IFLA_GUE_HEADERCSUM, 0, 0, 0 },
	{ "crc", parse_checksum, IFLA_GUE_CRC, 0, 0, 1 },
	{ "nocrc", parse_switch, IFLA_GUE_CRC, 0, 0, 0 },
	{ "fragment", parse_fragment, IFLA_GUE_FRAGMENT, 1, UINT16_MAX, 1 },
	{ "nofragment", parse_switch, IFLA_GUE_FRAGMENT, 0, 0, 0 },
	/* dead must be greater than keepalive, so their ranges differ by one at each end. */
	{ "keepalive", parse_keepalive, IFLA_GUE_KEEPALIVE, 0, UINT16_MAX - 1, 0 },
	{ "dead", parse_dead, IFLA_GUE_DEAD, 2, UINT16_MAX, 0 },
	{ "roaming", parse_switch, IFLA_GUE_ROAMING, 0, 0, 1 },
	{ "noroaming", parse_switch, IFLA_GUE_ROAMING, 0, 0, 0 },
	{ NULL, NULL, 0, 0, 0, 0 },
};

/* "any" takes the family of the other address, or IPv4 if there is none. */
static void put_any(struct request *request)
{
	static const struct in6_addr any;

	if (request->word[IFLA_GUE_REMOTE] && !request->remote_family)
		put_address(request, IFLA_GUE_REMOTE, request->local_family, &any);
	if (request->word[IFLA_GUE_LOCAL] && !request->local_family)
		put_address(request, IFLA_GUE_LOCAL, request->remote_family, &any);
}

/* Refuses options that need a GUE header: variant 1 has none. */
static void check_variant_1(const struct request *request)
{
	static const int fields[] = { IFLA_GUE_ID,	   IFLA_GUE_REMCSUM, IFLA_GUE_AUTH,
				      IFLA_GUE_HEADERCSUM, IFLA_GUE_CRC,     IFLA_GUE_FRAGMENT,
				      IFLA_GUE_ROAMING };

	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		const char *word = request->word[fields[i]];
		bool off = fields[i] == IFLA_GUE_AUTH ? request->auth == GUE_AUTH_NONE
						      : word && !strncmp(word, "no", 2);

		if (word && !off)
			refuse(word, word, "needs a GUE header, and variant 1 has none");
	}
}

/* Refuses dead without keepalive, or not greater than keepalive. */
static void check_dead(const struct request *request, bool creating)
{
	const char *keepalive = request->word[IFLA_GUE_KEEPALIVE];

	if (!request->word[IFLA_GUE_DEAD])
		return;
	if (keepalive ? !request->keepalive : creating)
		refuse("dead", "dead", "needs keepalive");
	if (keepalive && request->dead <= request->keepalive)
		refuse("dead", "dead", "must be more seconds than keepalive");
}

/* Refuses options that exclude each other. The kernel knows those that the link has. */
static void check(const struct request *request)
{
	bool creating = request->message->nlmsg_flags & NLM_F_CREATE;

	if (request->remote_family && request->local_family &&
	    request->remote_family != request->local_family)
		refuse("local", "local", "must be of the IP version of remote");
	if (request->word[IFLA_GUE_EXTERNAL]) {
		if (request->word[IFLA_GUE_REMOTE])
			refuse("remote", "remote", "cannot be combined with external");
		if (request->word[IFLA_GUE_ID])
			refuse("id", "id", "cannot be combined with external");
	} else if (creating && !request->word[IFLA_GUE_REMOTE]) {
		missarg("remote");
	}
	if (request->variant == 1)
		check_variant_1(request);
	if (request->word[IFLA_GUE_COVER] && request->auth != GUE_AUTH_HMAC &&
	    (creating || request->word[IFLA_GUE_AUTH]))
		refuse("cover", "cover", "needs auth hmac");
	check_dead(request, creating);
}

int gue_parse(struct link_util *self, int argc, char **argv, struct nlmsghdr *message)
{
	struct request request = { .message = message, .argc = argc, .argv = argv };
	const struct option *option;

	(void)self;
	for (; request.argc > 0; request.argc--, request.argv++) {
		const char *word = *request.argv;

		for (option = options; option->word && strcmp(option->word, word);)
			option++;
		if (!option->word) {
			if (strcmp(word, "help"))
				fprintf(stderr, "gue: unknown argument \"%s\"\n", word);
			gue_usage(stderr);
			return -1;
		}
		option->parse(&request, option);
	}
	put_any(&request);
	check(&request);
	return 0;
}
