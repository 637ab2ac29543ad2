"""Pages and pictures of the site that are made from the code; `python -m docs.generators` writes them anew."""
