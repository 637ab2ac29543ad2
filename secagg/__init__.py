"""The protocol, sans-I/O: pure steps over numpy and a crypto library. It knows no Flower, torch, clock or
socket.

Sources: Bonawitz et al., CCS 2017 (rounds, double masking); Bell et al., CCS 2020 (k-regular graph).
Read `client/` and `server/` as the protocol: one module a protocol round and side.
"""
