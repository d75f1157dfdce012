process SEGNT_SELECT {
    tag "${meta.id}"
    label 'process_select'

    conda "${moduleDir}/environment.yml"
    container "segnt-tools/segnt_tools:0.1.0-cpu"

    input:
    // fingerprint: of the models to choose from; the script has no use for it, but -resume does
    tuple val(meta), path(assembly), val(fingerprint)

    output:
    tuple val(meta), env('chosen')              , emit: model
    tuple val(meta), path("${prefix}/model.json"), emit: json
    tuple val("${task.process}"), val('segnt_tools'), eval("segnt --version | cut -d' ' -f2"), topic: versions, emit: versions_segnt

    script:
    def args = task.ext.args ?: ''
    prefix = task.ext.prefix ?: "${meta.id}"
    """
    mkdir -p ${prefix}
    chosen=\$(segnt_select.py ${assembly} --threads ${task.cpus} --json ${prefix}/model.json ${args})
    """

    stub:
    prefix = task.ext.prefix ?: "${meta.id}"
    """
    mkdir -p ${prefix}
    echo '{}' > ${prefix}/model.json
    chosen=plant_small
    """
}
