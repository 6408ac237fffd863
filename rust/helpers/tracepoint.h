/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Names a tracepoint for Rust: net::tracepoints! calls the tracepoint that
 * RUST_TRACEPOINT(NAME, TYPES) names in a C file of the same module.
 *
 * The C file defines CREATE_TRACE_POINTS and CREATE_RUST_TRACE_POINTS and includes the
 * header with the event before it uses this macro.
 */

#ifndef __RUST_TRACEPOINT_H
#define __RUST_TRACEPOINT_H

#include <linux/args.h>
#include <linux/build_bug.h>
#include <linux/tracepoint.h>
#include <linux/types.h>

/* A string, by the name of the type in Rust. */
typedef const char *TraceStr;

/*
 * Rust finds the function by a name that holds the types of its arguments, so a module in which
 * Rust and C disagree about them does not link. This macro alone uses the prefix rust_trace_.
 *
 * TYPES are those of TP_PROTO(): u8, u16, u32, u64 or TraceStr, up to eight.
 */
#ifdef CONFIG_TRACEPOINTS
#define RUST_TRACEPOINT(name, types...)                                                            \
	static_assert(__builtin_types_compatible_p(typeof(rust_do_trace_##name), void(types)));    \
	void __RUST_TRACEPOINT(of_##name, types)(types) __alias(rust_do_trace_##name)
#else
#define RUST_TRACEPOINT(name, types...)
#endif

#define __RUST_TRACEPOINT(of, types...)                                                            \
	CONCATENATE(__RUST_TRACEPOINT_, COUNT_ARGS(types))(of, types)
#define __RUST_TRACEPOINT_1(of, a) rust_trace_##a##_##of
#define __RUST_TRACEPOINT_2(of, a, b) rust_trace_##a##_##b##_##of
#define __RUST_TRACEPOINT_3(of, a, b, c) rust_trace_##a##_##b##_##c##_##of
#define __RUST_TRACEPOINT_4(of, a, b, c, d) rust_trace_##a##_##b##_##c##_##d##_##of
#define __RUST_TRACEPOINT_5(of, a, b, c, d, e) rust_trace_##a##_##b##_##c##_##d##_##e##_##of
#define __RUST_TRACEPOINT_6(of, a, b, c, d, e, f)                                                  \
	rust_trace_##a##_##b##_##c##_##d##_##e##_##f##_##of
#define __RUST_TRACEPOINT_7(of, a, b, c, d, e, f, g)                                               \
	rust_trace_##a##_##b##_##c##_##d##_##e##_##f##_##g##_##of
#define __RUST_TRACEPOINT_8(of, a, b, c, d, e, f, g, h)                                            \
	rust_trace_##a##_##b##_##c##_##d##_##e##_##f##_##g##_##h##_##of

#endif
