#!/usr/bin/env bash
# What dist_train.sh and dist_test.sh share: TOOL PROCESSES [arguments of the tool]
set -euo pipefail
tools="$(cd "$(dirname "$0")" && pwd)"
tool="$1" processes="$2"
shift 2
case "$processes" in
    '' | *[!0-9]* | 0)
        echo "Error: PROCESSES must be a number of 1 or more, got '$processes'" >&2
        exit 2
        ;;
esac
python="${PYTHON:-python}"
nodes="${NNODES:-1}"
if [ -n "${PORT:-}" ]; then
    port="$PORT"
elif [ "$nodes" = 1 ]; then
    port="$("$python" -c 'import socket; s = socket.socket(); s.bind(("", 0)); print(s.getsockname()[1])')"
else
    port=29500  # every machine must use the same
fi
# torchrun and mmengine would each print a warning about these; train.py chooses the threads itself.
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}" MKL_NUM_THREADS="${MKL_NUM_THREADS:-1}"
exec "$python" -m torch.distributed.run \
    --nnodes="$nodes" \
    --node-rank="${NODE_RANK:-0}" \
    --master-addr="${MASTER_ADDR:-127.0.0.1}" \
    --master-port="$port" \
    --nproc-per-node="$processes" \
    "$tools/$tool" "$@" --launcher pytorch
