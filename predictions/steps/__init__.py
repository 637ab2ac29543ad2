"""What is computed on masked wires, one module for each kind: the helper's part and an online server's part of it."""
