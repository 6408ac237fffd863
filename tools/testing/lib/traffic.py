# SPDX-License-Identifier: GPL-2.0
"""TCP through a tunnel."""

import hashlib
import socket
import threading


def tcp_arrives(source, target, address, data):
    """Sends bytes over TCP from one host to an address of another; returns whether they arrive."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with target.inside():
        listener = socket.create_server((address, 5000), family=family)
    with source.inside():
        sender = socket.socket(family, socket.SOCK_STREAM)
    digest = hashlib.sha256()
    with listener, sender:
        sender.settimeout(60)
        sender.connect((address, 5000))
        receiver, _ = listener.accept()
        receiver.settimeout(60)

        def receive():
            while chunk := receiver.recv(1 << 16):
                digest.update(chunk)

        with receiver:
            thread = threading.Thread(target=receive, daemon=True)
            thread.start()
            sender.sendall(data)
            sender.shutdown(socket.SHUT_WR)
            thread.join()
    return digest.digest() == hashlib.sha256(data).digest()
