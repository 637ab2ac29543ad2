"""The commands of `chorus`, a module for each kind.

Decides: that each has `register(app)`, and imports what it needs when it is asked. Refuses to know exit codes.
"""
