"""Linux's fou and rfou as peers on one wire."""
