"""The work directory of a run: its file names, its lock, what an earlier run left there, its logs."""
