# SPDX-License-Identifier: GPL-2.0
"""The receiving host's ports."""

# By number: IP version, and options of `ip fou add`.
PORTS = {
    5004: (4, "ipproto 4"),
    5041: (4, "ipproto 41"),
    5047: (4, "ipproto 47"),
    5200: (4, "ipproto 200"),
    5201: (4, "ipproto 201"),
    6080: (4, "gue"),
    6081: (4, "gue nopartial"),
    7004: (6, "ipproto 4"),
    7041: (6, "ipproto 41"),
    7047: (6, "ipproto 47"),
    7201: (6, "ipproto 201"),
    8080: (6, "gue"),
    8081: (6, "gue nopartial"),
}
