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
        mapfile -t where < <(awk -F '\\t' '{ printf "--region\\n%s:%d-%d\\n", \$1, \$2 + 1, \$3 }' ${assembly}/regions.bed)
    elif awk -F '\\t' '\$8 == "excluded" || \$8 == "not included" { some = 1 } END { exit !some }' ${assembly}/contigs.tsv; then
        mapfile -t where < <(awk -F '\\t' '\$7 == "yes" { print "--region"; print \$1 }' ${assembly}/contigs.tsv)
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
