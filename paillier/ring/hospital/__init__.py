"""A hospital's side: one module a moment, each a pure step from one state to the next.

Invitation --join--> AwaitingRing --reveal--> AwaitingHop --hand_on--> HandedOn
any of the three, with a Restart --rejoin--> AwaitingRing
"""
