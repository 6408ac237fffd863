"""What the tests and programs share: hosts, netlink, faults, the drop monitor, the watchdog."""
