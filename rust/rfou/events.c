// SPDX-License-Identifier: GPL-2.0
/*
 * Trace events of rfou.ko. Written in C because the kernel makes the events of a tracepoint
 * by macros of C. trace.rs calls them.
 */

#include "../helpers/tracepoint.h"

#define CREATE_TRACE_POINTS
#define CREATE_RUST_TRACE_POINTS
#include "rfou_events.h"

RUST_TRACEPOINT(rfou_receive, u32, u32, u16, u16, u16, u8, u16, u32);
RUST_TRACEPOINT(rfou_transmit, u32, u32, u16, u16, u16, u8, u16, u32);
RUST_TRACEPOINT(rfou_drop, u32, u16, u16, TraceStr);
