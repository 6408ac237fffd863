# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# A boot of a machine that is configured: all is up by itself.
# shellcheck source=tools/testing/machine/check.sh
. /run/job/machine/check.sh

is_up
