process SEGNT_EVALUATE {
    tag "${meta.id}"
    label 'process_merge'
    ext bases: { meta.bases } // by which conf/base.config asks for memory and time

    conda "${moduleDir}/environment.yml"
    container "segnt-tools/segnt_tools:0.1.0-cpu"

    input:
    tuple val(meta), path(prediction), path(assembly), path(reference, stageAs: 'reference/*')

    output:
    tuple val(meta), path("${prefix}/evaluate"), emit: folder
    tuple val("${task.process}"), val('segnt_tools'), eval("segnt --version | cut -d' ' -f2"), topic: versions, emit: versions_segnt

    script:
    def args = task.ext.args ?: ''
    prefix = task.ext.prefix ?: "${meta.id}"
    """
    mkdir -p ${prefix}
    # Where the user chose regions or contigs, only these were annotated, and only these are scored.
    where=()
    if [[ -e ${assembly}/regions.bed ]]; then
        where=(--regions ${assembly}/regions.bed)
    elif awk -F '\\t' '\$8 == "excluded" || \$8 == "not included" { some = 1 } END { exit !some }' ${assembly}/contigs.tsv; then
        awk -F '\\t' -v OFS='\\t' '\$7 == "yes" { print \$1, 0, \$2 }' ${assembly}/contigs.tsv > annotated_contigs.bed
        where=(--regions annotated_contigs.bed)
    fi
    segnt evaluate ${prediction} \\
        --truth ${reference} \\
        --genome ${assembly} \\
        --names ${meta.id} \\
        --out ${prefix}/evaluate \\
        "\${where[@]}" \\
        ${args}
    """

    stub:
    prefix = task.ext.prefix ?: "${meta.id}"
    """
    mkdir -p ${prefix}/evaluate
    echo '{}' > ${prefix}/evaluate/evaluate.json
    """
}
