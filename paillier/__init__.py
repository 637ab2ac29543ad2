"""Sums around a ring under Paillier's cipher, sans-I/O: pure arithmetic and pure steps over gmpy2.

It knows no Flower, torch, clock or socket. Read `keys`, `randomisers`, `ciphertext` and `packing` as the cipher, and
`ring/` as the protocol that hospitals and the key holder follow.

Source: Paillier, "Public-key cryptosystems based on composite degree residuosity classes", EUROCRYPT 1999.
"""
