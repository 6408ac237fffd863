// SPDX-License-Identifier: GPL-2.0

//! The subcommands.

pub mod apply;
pub mod check;
pub mod generate;
pub mod key;
pub mod link;
pub mod monitor;
pub mod ping;
pub mod port;
pub mod top;
