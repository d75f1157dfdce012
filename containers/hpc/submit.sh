#!/bin/bash
# Annotate an assembly on Slurm without Nextflow: an array of predict jobs with one GPU each, then one job for the rest.
#
#   hpc/submit.sh genome.fa RUN_FOLDER [most jobs at a time]
#
# It checks and cuts the assembly where you call it (about a minute for 1 Gb, on one core), then submits; call it within an
# interactive job where the login node is not for that. Give the same command again after a failure: only what is missing
# is repeated. With another genome or other settings that change results (below: *) it refuses the folder, whose settings
# are in RUN_FOLDER/settings. Settings, by environment variables:
#   SEGNT_EXEC             what segnt runs in, e.g. "apptainer exec --nv /sw/segnt_tools-cuda.sif" (default: nothing)
#   SEGNT_SHARDS *         number of shards, each of which is a job (default: one for every SEGNT_SHARD_SIZE bases)
#   SEGNT_SHARD_SIZE *     bases a shard (default: 50M, minutes of work for a GPU)
#   SEGNT_PREPROCESS_OPTIONS *  more options for segnt preprocess, e.g. "--min-length 1k" or "--regions genes.bed"
#   SEGNT_PREDICT_OPTIONS *  more options for segnt predict, e.g. "--model /models/segment_nt"
#   SEGNT_DEVICE *         where segnt predict runs (default: cuda)
#   SEGNT_REQUEUES         how often a job that ran out of time goes back into the queue (default: 3)
#   SEGNT_SBATCH_OPTIONS   more options for sbatch, e.g. "--account=lab --partition=gpu"
#   SEGNT_MERGE_OPTIONS    the same for the last job (default: those of SEGNT_SBATCH_OPTIONS)
set -euo pipefail

if (($# < 2)); then
    sed -n '2,/^set /s/^# \{0,1\}//p' "$0" >&2
    exit 2
fi
genome=$1 most=${3:-16}
if [[ ! -f $genome || ! -r $genome ]]; then
    echo "cannot read the genome $genome" >&2
    exit 2
fi
mkdir -p "$2/tracks" "$2/logs"
SEGNT_RUN=$(cd "$2" && pwd)
export SEGNT_RUN
here=$(cd "$(dirname "$0")" && pwd)

# What shards and tracks depend on, a "name=value" a line. SEGNT_EXEC is none of it: it may need another --bind.
settings() {
    local name value
    echo "genome=$(realpath -- "$genome")"
    echo "size and time of the genome=$(stat -L -c '%s bytes, %y' -- "$genome")"
    for name in SEGNT_SHARDS SEGNT_SHARD_SIZE SEGNT_PREPROCESS_OPTIONS SEGNT_PREDICT_OPTIONS SEGNT_DEVICE SEGNT_MODELS; do
        value=${!name:-}
        echo "$name=${value//$'\n'/ }"
    done
}

now=$(settings)
if [[ -s $SEGNT_RUN/assembly/shards.tsv ]] || compgen -G "$SEGNT_RUN/tracks/shard_*.h5" > /dev/null; then
    if [[ ! -s $SEGNT_RUN/settings ]]; then
        echo "$SEGNT_RUN has results, but no file 'settings' that says of what: give another folder, or remove this one" >&2
        exit 2
    fi
    differing=
    while IFS= read -r line; do
        name=${line%%=*}
        before=$(grep -F -m 1 "$name=" "$SEGNT_RUN/settings" || true)
        [[ $line == "$before" ]] || differing+="  $name: then '${before#*=}', now '${line#*=}'"$'\n'
    done <<< "$now"
    if [[ -n $differing ]]; then
        printf '%s was begun with other settings:\n%sGive another folder, or remove this one to begin anew.\n' \
            "$SEGNT_RUN" "$differing" >&2
        exit 2
    fi
else
    echo "$now" > "$SEGNT_RUN/settings.new"
    mv "$SEGNT_RUN/settings.new" "$SEGNT_RUN/settings"
fi

if [[ ! -s $SEGNT_RUN/assembly/shards.tsv ]]; then
    cut=(--shard-size "${SEGNT_SHARD_SIZE:-50M}")
    [[ -z ${SEGNT_SHARDS:-} ]] || cut=(--shards "$SEGNT_SHARDS")
    # shellcheck disable=SC2086  # lists of words
    ${SEGNT_EXEC:-} segnt preprocess "$genome" --out "$SEGNT_RUN/assembly" "${cut[@]}" ${SEGNT_PREPROCESS_OPTIONS:-}
fi

# Only shards without a tracks file, as Slurm's list of numbers.
todo=()
while read -r shard; do
    [[ -s $(printf '%s/tracks/shard_%05d.h5' "$SEGNT_RUN" "$shard") ]] || todo+=("$shard")
done < <(grep -v '^#' "$SEGNT_RUN/assembly/shards.tsv" | cut -f1 | sort -un)

# Slurm takes numbers below its MaxArraySize only.
largest=$(scontrol show config | sed -n 's/^MaxArraySize *= *//p')
if ((${#todo[@]} && ${todo[-1]:-0} >= ${largest:-1001})); then
    echo "there are ${todo[-1]} shards, but job arrays of this cluster end at $((${largest:-1001} - 1)):" \
        "remove $SEGNT_RUN/assembly and set SEGNT_SHARDS to fewer" >&2
    exit 2
fi

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
