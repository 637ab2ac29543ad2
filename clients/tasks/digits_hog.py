"""The digits task for private training: a linear network on 128 fixed public features (1,280 parameters).

Decides the grid. Refuses to know the images (`clients.tasks.digits`) and the features (`clients.tasks.hog`).
"""

from clients.tasks.digits import Digits
from clients.tasks.hog import HogTask

TASK = HogTask(Digits(), cells=4)
