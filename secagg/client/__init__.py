"""The client's side: one module a protocol round, each a pure step from one state to the next.

AwaitingCohort | CarryingKeys --r1--> AwaitingShares --r2--> AwaitingSurvivors --r4--> CarryingKeys
                                          active: AwaitingSurvivors --r3--> AwaitingSignatures --r4--> CarryingKeys
"""
