"""Plain FedAvg as a Flower user writes it, to compare the secure round with; nothing here is secure."""
