process SEGNT_CALLPEAKS {
    tag "${meta.id} ${meta.group}/${meta.groups}"
    label 'process_call'
    ext bases: { meta.group_bases } // by which conf/base.config asks for memory and time

    conda "${moduleDir}/environment.yml"
    container "segnt-tools/segnt_tools:0.1.0-cpu"

    input:
    // all tracks files of the contigs of one group, in the order of their shards
    tuple val(meta), path(tracks)

    output:
    tuple val(meta), path("${prefix}.elements.gff3"), emit: gff3
    tuple val(meta), path("${prefix}.elements.bed") , emit: bed
    tuple val(meta), path("${prefix}.call-peaks.json"), emit: json
    tuple val("${task.process}"), val('segnt_tools'), eval("segnt --version | cut -d' ' -f2"), topic: versions, emit: versions_segnt

    script:
    def args = task.ext.args ?: ''
    prefix = task.ext.prefix ?: "${meta.id}.group_${String.format('%05d', meta.group)}"
    """
    segnt call-peaks ${tracks} --out called --json ${prefix}.call-peaks.json ${args}
    mv called/elements.gff3 ${prefix}.elements.gff3
    mv called/elements.bed ${prefix}.elements.bed
    """

    stub:
    prefix = task.ext.prefix ?: "${meta.id}.group_${String.format('%05d', meta.group)}"
    """
    echo '##gff-version 3' > ${prefix}.elements.gff3
    touch ${prefix}.elements.bed
    echo '{}' > ${prefix}.call-peaks.json
    """
}
