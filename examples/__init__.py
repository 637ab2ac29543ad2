"""Tasks to begin from: copy one, change it, and name it with `-c task=examples.NAME`."""
