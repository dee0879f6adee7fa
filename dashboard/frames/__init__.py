"""From the core to data frames, cached for seconds: a module for each page."""
