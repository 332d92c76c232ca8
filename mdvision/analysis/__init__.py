"""What the tools call after and around training: pictures, reports, comparisons."""
