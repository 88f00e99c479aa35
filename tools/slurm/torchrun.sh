# Read by dist_train.sh and dist_test.sh.

# start_torchrun COUNT TOOL [arguments]: replaces this process. PYTHON is the Python to use.
start_torchrun() {
    local count=$1
    shift
    local place
    if [ "${NNODES:-1}" -gt 1 ]; then
        : "${NODE_RANK:?is not set: 0 on the first machine, 1 on the next ...}"
        : "${MASTER_ADDR:?is not set: the first machine, as the others reach it}"
        place=(--nnodes="$NNODES" --node-rank="$NODE_RANK"
            --master-addr="$MASTER_ADDR" --master-port="${MASTER_PORT:-29500}")
    else
        # The system chooses a free port.
        place=(--nnodes=1 --rdzv-backend=c10d --rdzv-endpoint=localhost:0)
    fi
    exec "${PYTHON:-python}" -m torch.distributed.run "${place[@]}" \
        --nproc-per-node="$count" "$@"
}
