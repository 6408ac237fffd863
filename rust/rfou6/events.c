// SPDX-License-Identifier: GPL-2.0
/* Trace events of rfou6.ko. rust/rfou/events.c has those of rfou.ko. */

#include "../helpers/tracepoint.h"

#define RFOU6
#define CREATE_TRACE_POINTS
#define CREATE_RUST_TRACE_POINTS
#include "../rfou/rfou_events.h"

RUST_TRACEPOINT(rfou6_transmit, u32, u32, u16, u16, u16, u8, u16, u32);
