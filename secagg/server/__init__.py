"""The server's side: one module a protocol round. Each collects what clients send and closes into the next.

KeyCollection --r0--> ShareCollection --r1--> InputCollection --r2--> ShareRecovery --r4--> Unmasked
                             active: InputCollection --r2--> SignatureCollection --r3--> ShareRecovery
"""
