# SPDX-License-Identifier: GPL-2.0
"""Print the signature of a kernel's image for UEFI, as PKCS #7 in DER.

An image is a PE file. Entry 4 of its data directories has the offset and size of its
WIN_CERTIFICATE: a length, a revision and a type, 8 bytes in all, and then the signature.
"""

import struct
import sys
from pathlib import Path

image = Path(sys.argv[1]).read_bytes()
(header,) = struct.unpack_from("<I", image, 0x3C)
optional = header + 24
(magic,) = struct.unpack_from("<H", image, optional)
if magic != 0x20B:
    sys.exit(f"{sys.argv[1]} is no 64-bit PE file")
start, size = struct.unpack_from("<II", image, optional + 112 + 4 * 8)
if size == 0:
    sys.exit(f"{sys.argv[1]} is not signed")
(length,) = struct.unpack_from("<I", image, start)
sys.stdout.buffer.write(image[start + 8 : start + length])
