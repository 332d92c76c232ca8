#!/usr/bin/env bash
# Train in several processes: one a GPU, or CPU processes (gloo) where there is none.
#   tools/dist_train.sh CONFIG PROCESSES [arguments of train.py]
# For several machines set NNODES, NODE_RANK, MASTER_ADDR and PORT. A free port is chosen where
# PORT is not given.
set -euo pipefail
if [ $# -lt 2 ]; then
    echo "usage: $0 CONFIG PROCESSES [arguments of train.py]" >&2
    exit 2
fi
exec "${PYTHON:-python}" "$(dirname "$0")/dist_run.py" train.py "$2" "$1" "${@:3}"
