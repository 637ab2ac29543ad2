"""A run's task and a client's own data of it, and how long a process keeps either.

Decides: that a task is found once a process; and that the data of a simulated client whose iterations are many and
short is kept from one to the next, for a few clients, since to deal it anew would cost more than the gradient.
Refuses to know: what is done with the data.
"""

from functools import lru_cache

from clients.tasks import ClientData, DataSource, Task, load_task


@lru_cache(maxsize=4)
def task_named(name: str) -> Task:
    """Found and checked once a process: a simulated worker asks for every client. A task holds no client's data."""
    return load_task(name)


@lru_cache(maxsize=16)
def kept_data(task: str, source: DataSource, validation_fraction: float, seed: int) -> ClientData:
    """One client's data, of the task of that name; arguments as `Task.partition_data` has them."""
    return task_named(task).partition_data(source, validation_fraction, seed)
