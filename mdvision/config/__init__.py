"""From a path and overrides to a config that is ready to build, and what can be wrong with it."""
