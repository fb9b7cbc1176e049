"""Long work outside the web server: the job service, its journal, and the reading of uploads."""
