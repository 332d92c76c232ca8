"""Processes: several in one run, lost ones, and the signals that stop one."""
