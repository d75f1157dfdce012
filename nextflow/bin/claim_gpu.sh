# Sourced before a task on a machine with several GPUs: take a free one and hold it until the task ends.
# Usage: source claim_gpu.sh NUMBER_OF_GPUS. Nextflow's local executor counts tasks but does not hand out GPUs.
# shellcheck shell=bash
if [[ -z ${CUDA_VISIBLE_DEVICES:-} ]]; then
    claim_locks=${TMPDIR:-/tmp}/segnt_gpu_locks_$(id -u)
    mkdir -p "$claim_locks"
    while [[ -z ${CUDA_VISIBLE_DEVICES:-} ]]; do
        for ((claim_gpu = 0; claim_gpu < $1; claim_gpu++)); do
            exec {claim_lock}>>"$claim_locks/$claim_gpu"
            if flock --nonblock "$claim_lock"; then
                export CUDA_VISIBLE_DEVICES=$claim_gpu
                break
            fi
            exec {claim_lock}>&-
        done
        [[ -n ${CUDA_VISIBLE_DEVICES:-} ]] || sleep 0.2
    done
fi
