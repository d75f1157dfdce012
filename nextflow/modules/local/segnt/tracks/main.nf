process SEGNT_TRACKS {
    tag "${meta.id}"
    label 'process_export'
    ext bases: { meta.bases } // by which conf/base.config asks for memory and time

    conda "${moduleDir}/environment.yml"
    container "segnt-tools/segnt_tools:0.1.0-cpu"

    input:
    // all tracks files of an assembly, in the order of their shards
    tuple val(meta), path(tracks, stageAs: 'shards/*')

    output:
    tuple val(meta), path("${prefix}/tracks/*.bw"), emit: bigwig
    tuple val(meta), path("${prefix}/tracks.json"), emit: info
    tuple val("${task.process}"), val('segnt_tools'), eval("segnt --version | cut -d' ' -f2"), topic: versions, emit: versions_segnt

    script:
    def args = task.ext.args ?: ''
    prefix = task.ext.prefix ?: "${meta.id}"
    """
    mkdir -p ${prefix}/tracks
    segnt tracks info ${tracks} --json ${prefix}/tracks.json > /dev/null
    segnt tracks export ${tracks} --format bigwig --threads ${task.cpus} --out ${prefix}/tracks ${args}
    """

    stub:
    prefix = task.ext.prefix ?: "${meta.id}"
    """
    mkdir -p ${prefix}/tracks
    touch ${prefix}/tracks/exon.bw
    echo '{}' > ${prefix}/tracks.json
    """
}
