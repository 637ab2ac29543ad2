"""Writes what is made from the code: `.venv/bin/python -m docs.generators`."""

from docs.generators.files import FILES, FOLDER

for name, make in FILES.items():
    (FOLDER / name).write_text(make(), encoding="utf-8")
    print(FOLDER / name)
