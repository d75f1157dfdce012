#!/bin/bash
# Annotate an assembly on Slurm without Nextflow: an array of predict jobs with one GPU each, then one job for the rest.
#
#   hpc/submit.sh genome.fa RUN_FOLDER [most jobs at a time]
#
# Give the same command again after a failure: only what is missing is repeated. Settings, by environment variables:
#   SEGNT_EXEC             what segnt runs in, e.g. "apptainer exec --nv /sw/segnt_tools-cuda.sif" (default: nothing)
#   SEGNT_SHARDS           number of shards (default: by size)
#   SEGNT_PREDICT_OPTIONS  more options for segnt predict, e.g. "--model /models/segment_nt"
#   SEGNT_SBATCH_OPTIONS   more options for sbatch, e.g. "--account=lab --partition=gpu"
#   SEGNT_MERGE_OPTIONS    the same for the last job (default: those of SEGNT_SBATCH_OPTIONS)
set -euo pipefail

if (($# < 2)); then
    sed -n '2,12s/^# \{0,1\}//p' "$0" >&2
    exit 2
fi
genome=$1 most=${3:-16}
mkdir -p "$2/tracks" "$2/logs"
SEGNT_RUN=$(cd "$2" && pwd)
export SEGNT_RUN
here=$(cd "$(dirname "$0")" && pwd)

if [[ ! -s $SEGNT_RUN/assembly/shards.tsv ]]; then
    # shellcheck disable=SC2086  # lists of words
    ${SEGNT_EXEC:-} segnt preprocess "$genome" --out "$SEGNT_RUN/assembly" ${SEGNT_SHARDS:+--shards "$SEGNT_SHARDS"}
fi

# Only shards without a tracks file, as Slurm's list of numbers.
todo=()
while read -r shard; do
    [[ -s $(printf '%s/tracks/shard_%05d.h5' "$SEGNT_RUN" "$shard") ]] || todo+=("$shard")
done < <(grep -v '^#' "$SEGNT_RUN/assembly/shards.tsv" | cut -f1 | sort -un)

after=()
if ((${#todo[@]})); then
    list=$(IFS=,; echo "${todo[*]}")
    # shellcheck disable=SC2086
    array=$(sbatch --parsable --export=ALL --array="$list%$most" --output="$SEGNT_RUN/logs/predict_%a.log" \
        ${SEGNT_SBATCH_OPTIONS:-} "$here/segnt_array.sbatch")
    echo "predict: job $array, ${#todo[@]} shards, at most $most at a time"
    after=(--dependency="afterok:$array" --kill-on-invalid-dep=yes)
fi
# shellcheck disable=SC2086
merge=$(sbatch --parsable --export=ALL "${after[@]}" --output="$SEGNT_RUN/logs/merge.log" \
    ${SEGNT_MERGE_OPTIONS-${SEGNT_SBATCH_OPTIONS:-}} "$here/segnt_merge.sbatch")
echo "merge:   job $merge, logs in $SEGNT_RUN/logs"
