"""The MNIST task for private training: a linear network on 392 fixed public features (3,920 parameters).

Decides the grid. Refuses to know the images (`clients.tasks.mnist`) and the features (`clients.tasks.hog`).
"""

from clients.tasks.hog import HogTask
from clients.tasks.mnist import Mnist

TASK = HogTask(Mnist(), cells=7)
