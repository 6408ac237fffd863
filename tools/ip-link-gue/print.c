// SPDX-License-Identifier: GPL-2.0
/*
 * Prints a link's attributes as the words that create the link, in the order of the
 * help text. JSON uses the keys of vxlan and geneve for options that those kinds have too.
 */
#include <arpa/inet.h>
#include <string.h>

#include "link_gue.h"
#include "rt_link_gue.h"

/* Copies the value of an attribute. Returns false if the attribute is missing or shorter. */
static bool get(struct rtattr *attributes[], int attribute, void *value, size_t length)
{
	const struct rtattr *found = attributes[attribute];

	if (!found || RTA_PAYLOAD(found) < length)
		return false;
	memcpy(value, RTA_DATA(found), length);
	return true;
}

static void print_string(enum output_type type, const char *key, const char *format,
			 const char *value)
{
	print_color_string(type, COLOR_NONE, key, format, value);
}

static void print_uint(const char *key, const char *format, unsigned int value)
{
	print_color_uint(PRINT_ANY, COLOR_NONE, key, format, value);
}

/* A hexadecimal number is a string in JSON. */
static void print_hex(const char *key, const char *format, unsigned int value)
{
	print_color_0xhex(PRINT_ANY, COLOR_NONE, key, format, value);
}

static void print_bool(const char *key, bool value)
{
	print_color_bool(PRINT_JSON, COLOR_NONE, key, NULL, value);
}

static void print_id(struct rtattr *attributes[])
{
	__u32 id;

	if (get(attributes, IFLA_GUE_ID, &id, sizeof(id)))
		print_uint("id", "id %u ", id);
}

/* Prints "any" for 0.0.0.0. Prints :: as it is, to show that the tunnel uses IPv6. */
static void print_address(struct rtattr *attributes[], int attribute, const char *key,
			  const char *format)
{
	char text[INET6_ADDRSTRLEN];
	struct in_addr v4;
	struct in6_addr v6;

	if (get(attributes, attribute, &v4, sizeof(v4))) {
		inet_ntop(AF_INET, &v4, text, sizeof(text));
		print_color_string(PRINT_ANY, COLOR_INET, key, format, v4.s_addr ? text : "any");
	} else if (get(attributes, attribute + 1, &v6, sizeof(v6))) {
		inet_ntop(AF_INET6, &v6, text, sizeof(text));
		print_color_string(PRINT_ANY, COLOR_INET6, key, format, text);
	}
}

static void print_dev(struct rtattr *attributes[])
{
	__u32 index;

	if (get(attributes, IFLA_GUE_LINK, &index, sizeof(index)) && index)
		print_color_string(PRINT_ANY, COLOR_IFNAME, "link", "dev %s ",
				   ll_index_to_name(index));
}

static void print_port(struct rtattr *attributes[], int attribute, const char *key,
		       const char *format)
{
	__be16 port;

	if (get(attributes, attribute, &port, sizeof(port)))
		print_uint(key, format, ntohs(port));
}

static void print_source_port(struct rtattr *attributes[])
{
	struct ifla_gue_port_range range;
	__be16 port;

	if (get(attributes, IFLA_GUE_SPORT_RANGE, &range, sizeof(range))) {
		if (is_json_context())
			open_json_object("port_range");
		print_uint("low", "srcport %u ", ntohs(range.low));
		print_uint("high", "%u ", ntohs(range.high));
		if (is_json_context())
			close_json_object();
	} else if (get(attributes, IFLA_GUE_SPORT, &port, sizeof(port))) {
		if (port || is_json_context())
			print_uint("sport", "sport %u ", ntohs(port));
		else
			print_string(PRINT_FP, NULL, "sport %s ", "auto");
	}
}

static void print_name(struct rtattr *attributes[], int attribute, const char *key,
		       const char *format, const char *const names[], size_t count)
{
	__u8 value;

	if (!get(attributes, attribute, &value, sizeof(value)))
		return;
	print_string(PRINT_ANY, key, format, value < count ? names[value] : "unknown");
}

static void print_variant(struct rtattr *attributes[])
{
	__u8 variant;

	if (get(attributes, IFLA_GUE_VARIANT, &variant, sizeof(variant)))
		print_uint("variant", "variant %u ", variant);
}

static void print_external(struct rtattr *attributes[])
{
	if (!attributes[IFLA_GUE_EXTERNAL])
		return;
	print_string(PRINT_FP, NULL, "%s ", "external");
	print_bool("external", true);
}

static void print_ttl(struct rtattr *attributes[])
{
	__u8 inherit = 0, ttl;

	if (!get(attributes, IFLA_GUE_TTL, &ttl, sizeof(ttl)))
		return;
	get(attributes, IFLA_GUE_TTL_INHERIT, &inherit, sizeof(inherit));
	if (inherit)
		print_string(PRINT_FP, NULL, "ttl %s ", "inherit");
	else if (!ttl)
		print_string(PRINT_FP, NULL, "ttl %s ", "auto");
	if (is_json_context() || (ttl && !inherit))
		print_uint("ttl", "ttl %u ", ttl);
	print_bool("ttl_inherit", inherit);
}

static void print_tos(struct rtattr *attributes[])
{
	__u8 inherit = 0, tos;

	if (!get(attributes, IFLA_GUE_TOS, &tos, sizeof(tos)))
		return;
	get(attributes, IFLA_GUE_TOS_INHERIT, &inherit, sizeof(inherit));
	if (inherit)
		print_string(PRINT_FP, NULL, "tos %s ", "inherit");
	if (is_json_context() || !inherit)
		print_hex("tos", "tos %#llx ", tos);
	print_bool("tos_inherit", inherit);
}

static void print_flowlabel(struct rtattr *attributes[])
{
	__be32 label;

	if (get(attributes, IFLA_GUE_FLOWLABEL, &label, sizeof(label)))
		print_hex("label", "flowlabel %#llx ", ntohl(label));
}

/* Prints the word `name`, with "no" before the word if the switch is off. */
static void print_switch(struct rtattr *attributes[], int attribute, const char *key,
			 const char *name)
{
	char word[32];
	__u8 on;

	if (!get(attributes, attribute, &on, sizeof(on)))
		return;
	snprintf(word, sizeof(word), "%s%s", on ? "" : "no", name);
	print_string(PRINT_FP, NULL, "%s ", word);
	print_bool(key, on);
}

static void print_remcsum(struct rtattr *attributes[])
{
	static const char *const words[] = { "noremcsum", "remcsum", "linux-remcsum" };
	static const char *const values[] = { "off", "draft", "linux" };

	if (is_json_context())
		print_name(attributes, IFLA_GUE_REMCSUM, "remcsum", NULL, values, 3);
	else
		print_name(attributes, IFLA_GUE_REMCSUM, NULL, "%s ", words, 3);
}

/* Prints the number of bytes that a checksum or HMAC covers, or "all". JSON has 65535 for "all". */
static void print_coverage(__u16 bytes, const char *key, const char *format)
{
	char text[8] = "all";

	if (bytes != GUE_COVER_ALL)
		snprintf(text, sizeof(text), "%u", bytes);
	if (is_json_context())
		print_uint(key, NULL, bytes);
	else
		print_string(PRINT_FP, NULL, format, text);
}

static void print_auth(struct rtattr *attributes[])
{
	static const char *const names[] = { "none", "cookie8", "cookie16", "cookie32", "hmac" };
	__u16 cover;

	print_name(attributes, IFLA_GUE_AUTH, "auth", "auth %s ", names, 5);
	if (get(attributes, IFLA_GUE_COVER, &cover, sizeof(cover)))
		print_coverage(cover, "cover", "cover %s ");
}

/* Prints a checksum's switch, then the coverage. Text leaves out a coverage of 0; JSON does not. */
static void print_checksum(struct rtattr *attributes[], int attribute, const char *name,
			   const char *cover_key)
{
	__u16 cover;

	print_switch(attributes, attribute, name, name);
	if (get(attributes, attribute + 1, &cover, sizeof(cover)) && (cover || is_json_context()))
		print_coverage(cover, cover_key, "%s ");
}

/* Leaves out a size of 0, which means that the path's MTU decides. */
static void print_fragment(struct rtattr *attributes[])
{
	__u16 size;

	print_switch(attributes, IFLA_GUE_FRAGMENT, "fragment", "fragment");
	if (get(attributes, IFLA_GUE_FRAGMENT_SIZE, &size, sizeof(size)) && size)
		print_uint("fragment_size", "%u ", size);
}

static void print_seconds(struct rtattr *attributes[], int attribute, const char *key,
			  const char *format)
{
	__u16 seconds;

	if (get(attributes, attribute, &seconds, sizeof(seconds)))
		print_uint(key, format, seconds);
}

void gue_print(struct link_util *self, FILE *file, struct rtattr *attributes[])
{
	static const char *const modes[] = { "ip", "ethernet" };
	static const char *const dfs[] = { "unset", "set", "inherit" };

	(void)self;
	(void)file;
	if (!attributes)
		return;
	print_address(attributes, IFLA_GUE_REMOTE, "remote", "remote %s ");
	print_id(attributes);
	print_address(attributes, IFLA_GUE_LOCAL, "local", "local %s ");
	print_dev(attributes);
	print_port(attributes, IFLA_GUE_PORT, "port", "port %u ");
	print_port(attributes, IFLA_GUE_DPORT, "dport", "dport %u ");
	print_source_port(attributes);
	print_name(attributes, IFLA_GUE_MODE, "mode", "mode %s ", modes, 2);
	print_variant(attributes);
	print_external(attributes);
	print_ttl(attributes);
	print_tos(attributes);
	print_name(attributes, IFLA_GUE_DF, "df", "df %s ", dfs, 3);
	print_flowlabel(attributes);
	print_switch(attributes, IFLA_GUE_UDP_CSUM, "udp_csum", "udpcsum");
	print_switch(attributes, IFLA_GUE_UDP_ZERO_CSUM6_TX, "udp_zero_csum6_tx", "udp6zerocsumtx");
	print_switch(attributes, IFLA_GUE_UDP_ZERO_CSUM6_RX, "udp_zero_csum6_rx", "udp6zerocsumrx");
	print_remcsum(attributes);
	print_auth(attributes);
	print_checksum(attributes, IFLA_GUE_HEADERCSUM, "headercsum", "headercsum_cover");
	print_checksum(attributes, IFLA_GUE_CRC, "crc", "crc_cover");
	print_fragment(attributes);
	print_seconds(attributes, IFLA_GUE_KEEPALIVE, "keepalive", "keepalive %u ");
	print_seconds(attributes, IFLA_GUE_DEAD, "dead", "dead %u ");
	print_switch(attributes, IFLA_GUE_ROAMING, "roaming", "roaming");
}
