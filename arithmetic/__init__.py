"""Arithmetic below the protocol: residues mod 2^b, fixed point, the prime field, the vector layout."""
