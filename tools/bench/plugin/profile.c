// SPDX-License-Identifier: GPL-2.0
/*
 * A plugin for QEMU: counts the instructions that a guest executes, by block of code.
 *
 *   -plugin profile.so,out=FILE   FILE: "SECTION ADDRESS INSTRUCTIONS", the second in hexadecimal, a
 *                                 line for each block of code
 *
 * Counts only between two marks that the generator executes: nops of eight bytes with a
 * displacement of "rfou" and "RFOU". The first mark begins a new section.
 *
 * QEMU installs no header for plugins, so this file declares the part of the interface that it uses
 * (docs/devel/tcg-plugins.rst, version 2).
 */

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef uint64_t qemu_plugin_id_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;

#define EXPORT __attribute__((visibility("default")))

EXPORT int qemu_plugin_version = 2;

void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id,
					   void (*callback)(qemu_plugin_id_t id,
							    struct qemu_plugin_tb *tb));
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *tb,
					  void (*callback)(unsigned int cpu, void *data), int flags,
					  void *data);
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *insn,
					    void (*callback)(unsigned int cpu, void *data),
					    int flags, void *data);
void qemu_plugin_register_atexit_cb(qemu_plugin_id_t id,
				    void (*callback)(qemu_plugin_id_t id, void *data), void *data);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *tb);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t number);
size_t qemu_plugin_insn_data(const struct qemu_plugin_insn *insn, void *to, size_t len);

struct block {
	struct block *next;
	uint64_t address;
	uint64_t instructions;
	/* By section, once it has been executed in one. */
	uint64_t *executed;
};

#define MOST_SECTIONS 512

static const uint8_t mark[4] = { 0x0f, 0x1f, 0x84, 0x00 };
static struct block *blocks;
static bool counting;
static int section = -1;
static const char *out;

static void count(unsigned int cpu, void *data)
{
	struct block *block = data;

	if (!counting)
		return;
	if (!block->executed) {
		block->executed = calloc(MOST_SECTIONS, sizeof(*block->executed));
		if (!block->executed)
			abort();
	}
	block->executed[section] += block->instructions;
}

static void switch_counting(unsigned int cpu, void *data)
{
	counting = data;
	if (counting && ++section == MOST_SECTIONS) {
		fprintf(stderr, "profile: more than %d sections\n", MOST_SECTIONS);
		abort();
	}
}

static void translate(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
	struct block *block = calloc(1, sizeof(*block));
	size_t i;

	if (!block)
		abort();
	block->address = qemu_plugin_tb_vaddr(tb);
	block->instructions = qemu_plugin_tb_n_insns(tb);
	block->next = blocks;
	blocks = block;
	qemu_plugin_register_vcpu_tb_exec_cb(tb, count, 0, block);
	for (i = 0; i < block->instructions; i++) {
		struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
		uint8_t bytes[8];

		if (qemu_plugin_insn_data(insn, bytes, sizeof(bytes)) != sizeof(bytes) ||
		    memcmp(bytes, mark, sizeof(mark)))
			continue;
		if (!memcmp(bytes + 4, "rfou", 4))
			qemu_plugin_register_vcpu_insn_exec_cb(insn, switch_counting, 0, &counting);
		else if (!memcmp(bytes + 4, "RFOU", 4))
			qemu_plugin_register_vcpu_insn_exec_cb(insn, switch_counting, 0, NULL);
	}
}

static void write_out(qemu_plugin_id_t id, void *data)
{
	FILE *file = fopen(out, "w");
	const struct block *block;
	int i;

	if (!file) {
		perror(out);
		return;
	}
	for (block = blocks; block; block = block->next) {
		for (i = 0; block->executed && i <= section; i++) {
			if (block->executed[i])
				fprintf(file, "%d %" PRIx64 " %" PRIu64 "\n", i, block->address,
					block->executed[i]);
		}
	}
	if (fclose(file))
		perror(out);
}

EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const void *info, int argc, char **argv)
{
	if (argc != 1 || strncmp(argv[0], "out=", 4)) {
		fprintf(stderr, "profile: -plugin profile.so,out=FILE\n");
		return 1;
	}
	/* Kept for as long as QEMU runs. */
	out = strdup(argv[0] + 4);
	qemu_plugin_register_vcpu_tb_trans_cb(id, translate);
	qemu_plugin_register_atexit_cb(id, write_out, NULL);
	return 0;
}
