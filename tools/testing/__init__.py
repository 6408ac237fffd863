# SPDX-License-Identifier: GPL-2.0
"""Everything that tests rfou from outside: guest tests and the programs that guests run."""
