"""r3, server: reserved for the consistency check against an active server (Bonawitz et al., CCS 2017,
figure 4, round 3).

Named here so that the directory is the protocol; a session against a curious server goes from r2 to r4.
"""
