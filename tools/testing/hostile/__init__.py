"""Hosts under fire, the packets of the cannon and of the misuse tests."""
