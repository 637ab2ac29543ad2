"""The composition root: run configuration, ServerApp, ClientApp, command line, launcher."""
