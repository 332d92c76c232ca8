#!/usr/bin/env bash
# Evaluate a checkpoint in several processes; see dist_train.sh for the environment variables.
#   tools/dist_test.sh CONFIG CHECKPOINT PROCESSES [arguments of test.py]
set -euo pipefail
if [ $# -lt 3 ]; then
    echo "usage: $0 CONFIG CHECKPOINT PROCESSES [arguments of test.py]" >&2
    exit 2
fi
exec "${PYTHON:-python}" "$(dirname "$0")/dist_run.py" test.py "$3" "$1" "$2" "${@:4}"
