"""The envelope both sides share: protocol round <-> Flower message type, bytes <-> records, and what the
summed vector holds.
"""
