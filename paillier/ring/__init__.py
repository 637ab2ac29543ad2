"""The ring: each hospital adds its vector under the key holder's public key, and only the total comes back.

    key holder                                          hospital i of n, n >= 3
    RollCall, once                          ->
                                            <-  Present: its number in the roster, signed
    Invitation | Restart (terms)            ->
                                            <-  Joined: fresh X25519 key, commitment to a nonce, signed
    RingProposed (everybody's Joined)       ->
                                            <-  Revealed: the nonce, signed with the digest of all that was joined
    HopRequested (all nonces, sealed hop)   ->  one hospital after the other, in the order that the nonces give
                                            <-  HopSealed to the next hospital; the last one: SumHanded, signed
    decrypts the sum

The terms name members, key, packing and the digest of what the vectors are made of, so all are shown the same model.

Every message passes through the key holder, who has the private key; so what one hospital hands to the next is sealed
to it (X25519, HKDF, AES-256-GCM), and session, server round, place, sender, recipient and the digest of the whole ring
are part of the seal. The order is a digest of nonces that all committed to before any was shown: nobody chooses its
place, and every hospital signed what the order follows from. A hospital checks that all members are in its roster and
signed the same terms, that it is among them, that its place follows from the nonces, that the hop opens under its
predecessor's key for this place, that as many vectors are in it as hospitals stand before it, that every number in it
is a ciphertext, and that the public key is the one it was told to expect.

A hospital that drops ends the session. The key holder's Restart names whom it skips; everybody joins anew, with fresh
keys, nonces and order. A partial sum is never used again.

What it does not withstand:

* Neighbours with the key holder. The hospitals before and after hospital i hold ciphertexts of the sums without and
  with its vector; if the key holder decrypts both, or lends its key, their difference is the vector of i. For the first
  hospital the one after it and the key holder are enough, for the last one the one before it and the key holder.
  Without the key holder's help the two neighbours can hand on the difference in place of the sum, and read it from
  whatever the key holder publishes. The random order makes it luck who the neighbours are, no more.
* A hospital that adds anything: another vector, or one as large as all slots, unseen as long as the total stays within
  the bound of the packing.
* A key holder that lies about who dropped, or asks for the same model in two server rounds: two sums over sets that
  differ by one hospital differ by its vector. It may also refuse to serve at all.
* Whatever the total itself says. Differential privacy answers that; the ring does not.

Where hospitals might collude with the key holder, masked sums (`secagg`) are the better choice: there a threshold of
colluders is withstood, and none of them has a special place.
"""
