"""Softmax regression on the MNIST task's images: 7,850 parameters.

Decides nothing of its own. Refuses to know the images (`clients.tasks.mnist`) and the layer (`clients.tasks.softmax`).
"""

from clients.tasks.mnist import SIDE, Mnist
from clients.tasks.softmax import SoftmaxTask

TASK = SoftmaxTask(Mnist(), pixels=SIDE * SIDE)
