"""Settings of the course's site, for Sphinx; `advad site` writes the sources."""

import advad

project, author = "advad", "The advad developers"
copyright = author
version = release = advad.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "advad.site.extension",
]
exclude_patterns = ["files/*"]
suppress_warnings = ["mystnb.unknown_mime_type"]
default_role = "literal"  # a name in `backticks` in a docstring is code

nb_execution_mode = "off"  # lessons were executed before
nb_ipywidgets_js = {}  # nothing comes from a network
nb_merge_streams = True
myst_enable_extensions = ["dollarmath", "tasklist"]
myst_update_mathjax = False
myst_heading_anchors = 3

autodoc_typehints = "none"  # the docstrings say more
autodoc_member_order = "bysource"
napoleon_google_docstring = False
napoleon_use_rtype = False

html_theme = "furo"
html_title = "advad"
html_math_renderer = "mathml"
html_show_sphinx = False
html_copy_source = False
html_show_search_summary = (
    False  # it would be fetched, which a file:// page must not
)
html_theme_options = {"navigation_with_keys": True}
