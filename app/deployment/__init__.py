"""From one laptop to a federation: keys and kits, Flower's programs started with the right flags, and a doctor.

Decides: what lies on which machine, and how Flower's own programs are run there. Refuses to know: the protocol, the
training, and what a run is about. Nothing here imports torch before it must.
"""
