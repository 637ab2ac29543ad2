"""The key holder's side: it carries every message, and opens the total alone.

open_ring --> AwaitingJoins --propose--> AwaitingReveals --circulate--> Circulating --pass_on--> ... --finish--> sum
any of the three --restart--> AwaitingJoins, without those who dropped

It holds the private key, so it is handed no ciphertext before the last: hops are sealed to hospitals.
"""
