"""The documentation site: Sphinx reads the pages beside this file, as Markdown (MyST), and sets them with furo.

Decides how pages look, and that an entry of the front page's tables of contents whose page is not there is left out; a
page that is there and in no table is a warning, so nothing can be lost that way. Refuses to run the project's code.
"""

import re

from sphinx.application import Sphinx

project = "Chorus"
extensions = ["myst_parser"]
exclude_patterns = ["generators"]
html_theme = "furo"
html_title = "Chorus"
html_show_copyright = False
html_show_sphinx = False
html_static_path = ["static"]
html_css_files = ["wide.css"]
highlight_language = "text"
myst_heading_anchors = 4


def mend_contents(app: Sphinx, page: str, source: list[str]) -> None:
    """Mend links to README, which the front page stands for; decisions; entries of the front page without a page."""
    source[0] = re.sub(r"\]\((\.\./)+README\.md[^)]*\)", "](/index.md)", source[0])
    if page == "decisions/README":
        source[0] += "\n```{toctree}\n:hidden:\n:glob:\n\n0*\n```\n"
    if page == "index":
        there = app.project.docnames
        source[0] = "\n".join(
            line
            for line in source[0].split("\n")
            if not line.replace("_", "").isalnum() or line in there or not line.islower()
        )


def setup(app: Sphinx) -> None:
    """Sphinx calls this."""
    app.connect("source-read", mend_contents)
