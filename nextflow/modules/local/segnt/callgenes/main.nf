process SEGNT_CALLGENES {
    tag "${meta.id} ${meta.group}/${meta.groups}"
    label 'process_call'
    ext bases: { meta.group_bases } // by which conf/base.config asks for memory and time

    conda "${moduleDir}/environment.yml"
    container "segnt-tools/segnt_tools:0.1.0-cpu"

    input:
    // all tracks files of the contigs of one group, in the order of their shards; the folder that preprocess made
    tuple val(meta), path(tracks), path(assembly)

    output:
    tuple val(meta), path("${prefix}.genes.gff3")     , emit: gff3
    tuple val(meta), path("${prefix}.call-genes.json"), emit: json
    tuple val("${task.process}"), val('segnt_tools'), eval("segnt --version | cut -d' ' -f2"), topic: versions, emit: versions_segnt

    script:
    def args = task.ext.args ?: ''
    def code = meta.genetic_code ? "--genetic-code ${meta.genetic_code}" : ''
    prefix = task.ext.prefix ?: "${meta.id}.group_${String.format('%05d', meta.group)}"
    """
    segnt call-genes ${tracks} \\
        --genome ${assembly} \\
        --threads ${task.cpus} \\
        --json ${prefix}.call-genes.json \\
        --out called \\
        ${code} \\
        ${args}
    mv called/genes.gff3 ${prefix}.genes.gff3
    """

    stub:
    prefix = task.ext.prefix ?: "${meta.id}.group_${String.format('%05d', meta.group)}"
    """
    echo '##gff-version 3' > ${prefix}.genes.gff3
    echo '{}' > ${prefix}.call-genes.json
    """
}
