"""The folder of a run: the names of its files, its lock, what an earlier run left there, its logs."""
