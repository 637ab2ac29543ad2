"""The node's side: local training, devices, tasks, and the Flower handlers of each protocol round."""
