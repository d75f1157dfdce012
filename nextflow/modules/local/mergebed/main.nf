process MERGEBED {
    tag "${meta.id}"
    label 'process_merge'
    ext bases: { meta.bases } // by which conf/base.config asks for memory and time

    conda "${moduleDir}/environment.yml"
    container "segnt-tools/segnt_tools:0.1.0-cpu"

    input:
    // the BED files of all groups
    tuple val(meta), path(bed, stageAs: 'groups/*')

    output:
    tuple val(meta), path("${prefix}/elements.bed"), emit: bed
    tuple val("${task.process}"), val('sort'), eval("sort --version | sed -n '1s/.* //p'"), topic: versions, emit: versions_sort

    script:
    prefix = task.ext.prefix ?: "${meta.id}"
    """
    mkdir -p ${prefix}
    # Bytewise by contig, then by place, then all columns: the same order however the contigs were grouped.
    cat ${bed} | LC_ALL=C sort -k1,1 -k2,2n -k3,3n -k4 > ${prefix}/elements.bed
    """

    stub:
    prefix = task.ext.prefix ?: "${meta.id}"
    """
    mkdir -p ${prefix}
    touch ${prefix}/elements.bed
    """
}
