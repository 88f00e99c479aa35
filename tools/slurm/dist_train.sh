#!/usr/bin/env bash
# Train on the GPUs (or CPU processes) of one machine: dist_train.sh CONFIG COUNT [options of train.py]
# On several machines, call it on each with NNODES, NODE_RANK, MASTER_ADDR and MASTER_PORT set.
set -euo pipefail
if [ $# -lt 2 ]; then
    echo "usage: dist_train.sh CONFIG COUNT [options of train.py]" >&2
    exit 2
fi
config=$1 count=$2
shift 2
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=torchrun.sh
. "$here/torchrun.sh"
start_torchrun "$count" "$here/../train.py" "$config" --launcher pytorch "$@"
