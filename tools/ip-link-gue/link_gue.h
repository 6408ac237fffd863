/* SPDX-License-Identifier: GPL-2.0 */
#ifndef LINK_GUE_H
#define LINK_GUE_H

#include "iproute2.h"

/* Adds the attributes for the words of the command line; -1 after `help`. */
int gue_parse(struct link_util *self, int argc, char **argv, struct nlmsghdr *message);

/* Prints the attributes as the words that would make the same link, or as JSON. */
void gue_print(struct link_util *self, FILE *file, struct rtattr *attributes[]);

/* Prints the statistics of the peer, for `ip -s -d link`. */
void gue_print_xstats(struct link_util *self, FILE *file, struct rtattr *xstats);

void gue_usage(FILE *file);

#endif
