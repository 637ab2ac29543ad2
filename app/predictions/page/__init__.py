"""The page on which a person draws a digit and asks: the browser masks and unmasks, this machine only carries bytes."""
