"""Softmax regression on the digits task's images: 650 parameters.

Decides nothing of its own. Refuses to know the images (`clients.tasks.digits`) and the layer (`clients.tasks.softmax`).
"""

from clients.tasks.digits import Digits
from clients.tasks.softmax import SoftmaxTask

TASK = SoftmaxTask(Digits(), pixels=64)
