#!/usr/bin/env bash
# Train in several processes: one per GPU, or CPU processes (gloo) if there is none.
#   tools/dist_train.sh CONFIG PROCESSES [arguments of train.py]
# For several machines set NNODES, NODE_RANK, MASTER_ADDR and PORT. On one machine a free port is chosen
# if PORT is not set.
set -euo pipefail
if [ $# -lt 2 ]; then
    echo "usage: $0 CONFIG PROCESSES [arguments of train.py]" >&2
    exit 2
fi
exec "${PYTHON:-python}" "$(dirname "$0")/dist_run.py" train.py "$2" "$1" "${@:3}"
