"""Linux's fou and rfou given the same packets and requests, and compared."""
