"""The documentation site: Sphinx reads the pages beside this file, as Markdown (MyST), and sets them with furo.

Decides how pages look and what becomes of a link that leaves the folder docs/. Refuses to run any code of the project.
"""

project = "Chorus"
extensions = ["myst_parser"]
exclude_patterns = ["generators"]
html_theme = "furo"
html_title = "Chorus"
html_show_copyright = False
html_show_sphinx = False
myst_heading_anchors = 4
myst_enable_extensions = ["colon_fence", "deflist"]
