"""The commands of docs/commands.md: test_commands.py keeps the set exact, test_commands_page.py runs them."""

ALL = (
    "scripts/chorus run -c rounds=2",
    "scripts/chorus ls",
    "scripts/chorus watch --plain",
    "scripts/chorus config check -c rounds=3",
    "scripts/chorus resume -c rounds=3",
    "scripts/chorus watch --picture view.svg",
    "scripts/chorus doctor",
    "scripts/chorus clean",
)
