// SPDX-License-Identifier: GPL-2.0
/*
 * Compare the declarations of iproute2.h with the `ip` that loads the plug-in.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>

#include "iproute2.h"

#define NAME(type, name, arguments) #name,
static const char *const functions[] = { IP_FUNCTIONS(NAME) };
#undef NAME

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

/* Ends `ip`: it would call a wrong address sooner or later. */
static _Noreturn void refuse(const char *fact, const char *name)
{
	fprintf(stderr,
		"Error: link_gue.so: %s%s in this ip; build the plug-in for this iproute2, or "
		"remove it.\n",
		fact, name);
	exit(EXIT_FAILURE);
}

/* Returns true if `ip` itself has something at this address. */
static bool is_in_ip(const void *base, const void *address)
{
	Dl_info info;

	return dladdr(address, &info) && info.dli_fbase == base;
}

static bool is_in_ip_or_null(const void *base, const void *address)
{
	return !address || is_in_ip(base, address);
}

/* `ip` exports its own kinds: one of them shows what a link_util is. */
static bool link_util_is_known(void)
{
	const struct link_util *geneve = dlsym(RTLD_DEFAULT, "geneve_link_util");
	const ElfW(Sym) * symbol;
	Dl_info info;

	if (!geneve || !dladdr1(geneve, &info, (void **)&symbol, RTLD_DL_SYMENT))
		return false;
	return symbol && symbol->st_size == sizeof(*geneve) &&
	       is_in_ip(info.dli_fbase, geneve->id) && !strcmp(geneve->id, "geneve") &&
	       geneve->maxattr > 0 && geneve->maxattr < 256 &&
	       is_in_ip(info.dli_fbase, geneve->parse_opt) &&
	       is_in_ip(info.dli_fbase, geneve->print_opt) &&
	       is_in_ip_or_null(info.dli_fbase, geneve->print_xstats) &&
	       is_in_ip(info.dli_fbase, geneve->print_help) &&
	       is_in_ip_or_null(info.dli_fbase, geneve->parse_ifla_xstats) &&
	       is_in_ip_or_null(info.dli_fbase, geneve->print_ifla_xstats);
}

static __attribute__((constructor)) void check_ip(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(functions); i++) {
		if (!dlsym(RTLD_DEFAULT, functions[i]))
			refuse("no function ", functions[i]);
	}
	if (!link_util_is_known())
		refuse("another struct link_util", "");
}
