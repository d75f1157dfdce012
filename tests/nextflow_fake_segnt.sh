#!/bin/bash
# A pretended segnt for tests of the workflow's machinery: writes what the next step needs, in no time.
# FAKE_FAIL="SHARD STATUS TIMES": predicting that shard ends with that status that many times. FAKE_LOG: what was called.
# FAKE_TABLE: a shard table to hand out. FAKE_MODELS: the JSON that `models list` answers with. FAKE_CODE: the genetic
# code of the model's card.
set -euo pipefail
log() { [[ -z ${FAKE_LOG:-} ]] || echo "$*" >> "$FAKE_LOG"; }
value_of() {
    local wanted=$1
    shift
    while (($# > 1)); do
        [[ $1 != "$wanted" ]] || { echo "$2"; return; }
        shift
    done
}
report() {
    local json
    json=$(value_of --json "$@")
    [[ -z $json ]] || echo "{\"parameters\": {\"genetic_code\": ${FAKE_CODE:-1}}}" > "$json"
}
out=$(value_of --out "$@")
case $1 in
    --version) echo "segnt_tools 0.1.0" ;;
    models) cp "${FAKE_MODELS:?}" "$(value_of --json "$@")" ;;
    preprocess)
        mkdir -p "$out"
        for file in assembly.fa.gz assembly.fa.gz.fai assembly.fa.gz.gzi contigs.tsv gaps.bed softmasked.bed; do : > "$out/$file"; done
        echo '{}' > "$out/preprocess.json"
        [[ -z ${FAKE_TABLE:-} ]] || { cp "$FAKE_TABLE" "$out/shards.tsv"; exit 0; }
        {
            printf '#shard\tgroup\tcontig\tstart\tend\n'
            for ((i = 1; i <= ${FAKE_SHARDS:-3}; i++)); do printf '%s\t%s\tc%s\t0\t1000\n' "$i" "$i" "$i"; done
        } > "$out/shards.tsv"
        ;;
    predict)
        shard=$(value_of --shard "$@")
        log "start $shard gpu=${CUDA_VISIBLE_DEVICES:-} batch=$(value_of --batch-size "$@") model=$(value_of --model "$@")"
        sleep "${FAKE_SECONDS:-0}"
        read -r failing status times <<< "${FAKE_FAIL:-0 0 0}"
        if [[ $shard == "$failing" ]]; then
            before=$(wc -l < "$FAKE_FAILURES" 2>/dev/null || echo 0)
            if ((before < times)); then
                echo failed >> "$FAKE_FAILURES"
                echo "ERROR: pretended failure of shard $shard" >&2
                exit "$status"
            fi
        fi
        echo "$shard" > "$out"
        report "$@"
        log "end $shard gpu=${CUDA_VISIBLE_DEVICES:-}"
        ;;
    call-peaks)
        mkdir -p "$out"
        echo '##gff-version 3' > "$out/elements.gff3"
        : > "$out/elements.bed"
        report "$@"
        ;;
    call-genes)
        mkdir -p "$out"
        echo '##gff-version 3' > "$out/genes.gff3"
        report "$@"
        ;;
    merge-gff)
        echo '##gff-version 3' > "$out"
        report "$@"
        ;;
    tracks)
        if [[ $2 == info ]]; then report "$@"; else mkdir -p "$out"; : > "$out/exon.bw"; fi
        ;;
    report)
        folder=$(dirname "$out")
        : > "$out"
        for name in report.json report.tsv report_mqc.json; do : > "$folder/$name"; done
        ;;
    *) echo "the pretended segnt knows no $1" >&2; exit 2 ;;
esac
