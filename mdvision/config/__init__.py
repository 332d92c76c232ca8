"""From a path and overrides to a config that is ready to build, and the checks of a config."""
