"""Ports and the module: netlink, loading and unloading, numbers of drop reasons."""
