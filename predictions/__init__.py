"""Private predictions: model and query are secret-shared among three compute servers.

Two servers are online and see masked values only; a helper prepares one-time material and sees no value at all.
Any one of them is blind, two that collude see everything. Knows no Flower.
"""
