#!/usr/bin/env bash
# Evaluate on the GPUs (or CPU processes) of one machine:
# dist_test.sh CONFIG CHECKPOINT COUNT [options of test.py]
# On several machines, call it on each with NNODES, NODE_RANK, MASTER_ADDR and MASTER_PORT set.
set -euo pipefail
if [ $# -lt 3 ]; then
    echo "usage: dist_test.sh CONFIG CHECKPOINT COUNT [options of test.py]" >&2
    exit 2
fi
config=$1 checkpoint=$2 count=$3
shift 3
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=torchrun.sh
. "$here/torchrun.sh"
start_torchrun "$count" "$here/../test.py" "$config" "$checkpoint" --launcher pytorch "$@"
